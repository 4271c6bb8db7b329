/** Token counts of a request and its answers. */
import type { TokenUse } from './answer.ts'
import type { SimState } from './call.ts'
import type { Prompt, Thought } from './prompt.ts'
import { countTokens } from './tokens.ts'

/** Tokens that framing costs for each message, and a medium for each attachment. */
const MESSAGE_TOKENS = 3
const MEDIA_TOKENS = 85

export interface PromptUse {
  readonly tokens: number
  readonly cached: number
}

/** Everything that is counted, in the order in which a model would read it: tools first, so that they can be cached. */
const renderPrompt = (prompt: Prompt): string => {
  const tools = prompt.tools
    .map((tool) => `${tool.name} ${tool.description} ${JSON.stringify(tool.parameters)}\n`)
    .join('')
  const messages = prompt.messages.map((message) => {
    const calls = message.calls.map((call) => `${call.name}(${call.input})`).join('')
    return `${message.role}: ${message.text}${calls}\n`
  })
  return tools + messages.join('')
}

/** Also remembers the prompt for the cached tokens of later ones. */
export const measurePrompt = (state: SimState, prompt: Prompt): PromptUse => {
  const rendered = renderPrompt(prompt)
  const media = prompt.messages.reduce((sum, message) => sum + message.media.length, 0)
  const tokens = countTokens(rendered) + prompt.messages.length * MESSAGE_TOKENS + media * MEDIA_TOKENS
  return { tokens, cached: state.prefixes.cachedTokens(rendered) }
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
