/** What the wires of test/support/wires.ts have in common. */
export type WireName =
  | 'openai.chat'
  | 'openai.responses'
  | 'anthropic'
  | 'gemini'
  | 'bedrock'
  | 'ollama'
  | 'cohere'
  | 'tgi'

export interface AskedCall {
  readonly id: string
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
}

export type Turn =
  | { readonly role: 'user'; readonly text: string; /** PNG, base64. */ readonly image?: string }
  | { readonly role: 'assistant'; readonly text: string; readonly calls?: readonly AskedCall[] }
  | { readonly role: 'results'; readonly results: readonly { readonly call: AskedCall; readonly text: string }[] }

export interface AskedTool {
  readonly name: string
  readonly description: string
  readonly parameters: Readonly<Record<string, unknown>>
}

export interface Conversation {
  readonly name: string
  readonly turns: readonly Turn[]
  readonly system?: string
  readonly model?: string
  readonly tools?: readonly AskedTool[]
  /** `required`, `none`, or a tool's name behind `tool:`. */
  readonly choice?: string
  readonly single?: boolean
  readonly schema?: Readonly<Record<string, unknown>>
  readonly think?: boolean
  readonly stop?: readonly string[]
  readonly maxTokens?: number
}

export interface Said {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly { readonly name: string; readonly input: unknown }[]
  readonly finish: 'stop' | 'length' | 'tool_calls'
  /** Tokens, with those of caches and thoughts. */
  readonly usage: { readonly input: number; readonly output: number }
}

/** What vendors send is read without their types on purpose: those would be the SDKs' word for it. */
export interface Loose {
  readonly [key: string]: Loose | undefined
}

export interface Wire {
  path(model: string, stream: boolean): string
  body(asked: Conversation, stream: boolean): unknown
  /** Of a whole answer. */
  said(body: Loose): Said
  /** Of a stream. */
  streamed(events: readonly Loose[]): Said
  /** What the wire cannot say. */
  readonly lacks: readonly (keyof Conversation | 'tool-choice' | 'history' | 'image' | 'reasoning')[]
}

export const str = (value: unknown): string => (typeof value === 'string' ? value : '')
export const num = (value: unknown): number => (typeof value === 'number' ? value : 0)
export const list = (value: unknown): readonly Loose[] => (Array.isArray(value) ? (value as readonly Loose[]) : [])
export const joined = (values: readonly unknown[]): string => values.map(str).join('')
export const parsed = (text: string): unknown => JSON.parse(text === '' ? '{}' : text)
export const finishOf = (reason: string, calls: number): Said['finish'] =>
  calls > 0 ? 'tool_calls' : /length|max_tokens|MAX_TOKENS|incomplete/.test(reason) ? 'length' : 'stop'
export const modelOf = (asked: Conversation): string => asked.model ?? 'sim-chat'
export const toolOf = (choice: string | undefined): string | undefined =>
  choice?.startsWith('tool:') === true ? choice.slice(5) : undefined
