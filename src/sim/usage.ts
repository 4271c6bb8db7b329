/** Token counts of a request and its answers. */
import type { TokenUse } from './answer.ts'
import type { SimState } from './call.ts'
import type { Message, Prompt, Thought } from './prompt.ts'
import { countTokens } from './tokens.ts'
import { joinTurns } from './turns.ts'

/** Tokens that framing costs for each message, and a medium for each attachment. */
const MESSAGE_TOKENS = 3
const MEDIA_TOKENS = 85

export interface PromptUse {
  readonly tokens: number
  readonly cached: number
}

/** Everything that is counted, in the order in which a model would read it: tools first, so that they can be cached. */
const renderPrompt = (prompt: Pick<Prompt, 'tools' | 'messages'>): string => {
  const tools = prompt.tools
    .map((tool) => `${tool.name} ${tool.description} ${JSON.stringify(tool.parameters)}\n`)
    .join('')
  const messages = prompt.messages.map((message) => {
    const calls = message.calls.map((call) => `${call.name}(${call.input})`).join('')
    return `${message.role}: ${message.text}${calls}\n`
  })
  return tools + messages.join('')
}

const sizeOf = (rendered: string, messages: readonly Message[]): number => {
  const media = messages.reduce((sum, message) => sum + message.media.length, 0)
  return countTokens(rendered) + messages.length * MESSAGE_TOKENS + media * MEDIA_TOKENS
}

/** Also remembers the prompt for the cached tokens of later ones. */
export const measurePrompt = (state: SimState, prompt: Prompt): PromptUse => {
  const messages = joinTurns(prompt.messages)
  const rendered = renderPrompt({ ...prompt, messages })
  return { tokens: sizeOf(rendered, messages), cached: state.prefixes.cachedTokens(rendered) }
}

export interface MarkedUse extends PromptUse {
  /** Tokens that are kept from now on. */
  readonly written: number
}

/**
 * As providers count that keep only what they are told to keep.
 * @param marked messages up to the last mark; -1 = there is none, 0 = it stands at the tools.
 */
export const measureMarked = (state: SimState, prompt: Prompt, marked: number): MarkedUse => {
  const messages = joinTurns(prompt.messages)
  const tokens = sizeOf(renderPrompt({ ...prompt, messages }), messages)
  if (marked < 0) return { tokens, cached: 0, written: 0 }
  const kept = joinTurns(prompt.messages.slice(0, marked))
  const rendered = renderPrompt({ ...prompt, messages: kept })
  const cached = state.prefixes.cachedTokens(rendered)
  const size = sizeOf(rendered, kept)
  return { tokens, cached, written: size < state.prefixes.block ? 0 : size - cached }
}

export interface Use extends TokenUse {
  readonly cached: number
  readonly reasoning: number
}

export const totalUse = (prompt: PromptUse, thoughts: readonly Thought[]): Use => ({
  prompt: prompt.tokens,
  cached: prompt.cached,
  completion: thoughts.reduce((sum, thought) => sum + thought.visibleTokens + thought.reasoningTokens, 0),
  reasoning: thoughts.reduce((sum, thought) => sum + thought.reasoningTokens, 0),
})
