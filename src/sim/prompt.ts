/** One request and one answer, free of any wire format: what the dialects hand to the brain and get back. */
import type { Json } from './json.ts'

export type Role = 'system' | 'user' | 'assistant' | 'tool'

export interface Message {
  readonly role: Role
  readonly text: string
  /** Short descriptions of attached media, such as `image/png (68 bytes)`. */
  readonly media: readonly string[]
  /** What an assistant message called. */
  readonly calls: readonly { readonly name: string; readonly input: string }[]
  /** The tool whose result a `tool` message holds. */
  readonly toolName?: string | undefined
}

export interface ToolSpec {
  readonly kind: 'function' | 'custom'
  readonly name: string
  readonly description: string
  readonly parameters: Json
  readonly strict: boolean
}

export type ToolChoice =
  | { readonly mode: 'auto' | 'none' | 'required' }
  | { readonly mode: 'named'; readonly name: string }

export type OutputFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | { readonly type: 'json_schema'; readonly schema: Json; readonly strict: boolean }

export interface Prompt {
  readonly model: string
  readonly messages: readonly Message[]
  readonly tools: readonly ToolSpec[]
  readonly toolChoice: ToolChoice
  readonly parallel: boolean
  readonly format: OutputFormat
  /** The caller's `seed`; part of what the answer depends on. */
  readonly seed: number
  readonly stop: readonly string[]
  /** Tokens; reasoning included. */
  readonly maxTokens: number | undefined
  /** Tokens; text goes on until it has as many (vLLM's parameter of that name). */
  readonly minTokens: number
  readonly effort: string | undefined
  /** Whether it is to think first, where the request says so; else effort and the model's name decide. */
  readonly thinks?: boolean | undefined
  /** Tokens that it may think; undefined: as effort says. */
  readonly thinkBudget?: number | undefined
  /** Added to the end of plain text: how a fault gets characters outside ASCII into an answer. */
  readonly suffix: string
}

export interface ToolCall {
  readonly kind: 'function' | 'custom'
  readonly id: string
  readonly name: string
  /** JSON text for a function, free text for a custom tool. */
  readonly input: string
}

export interface Thought {
  /** Null when the answer is tool calls only. */
  readonly text: string | null
  readonly calls: readonly ToolCall[]
  readonly finish: 'stop' | 'length' | 'tool_calls'
  /** Tokens of text and calls. */
  readonly visibleTokens: number
  readonly reasoningTokens: number
  /** What it thought, of that many tokens. */
  readonly reasoning: string
  /** The stop sequence that ended the text. */
  readonly stopped?: string | undefined
  /** The text is JSON: streamed in small pieces instead of tokens. */
  readonly isJson: boolean
}
