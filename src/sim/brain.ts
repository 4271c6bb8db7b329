/**
 * The simulated model: an answer is a pure function of the simulator's seed and the prompt.
 * It never looks at the clock, the model's name (except for reasoning models) or earlier requests.
 */
import { createLift } from './brain-lift.ts'
import { smallestInstance } from './brain-schema.ts'
import { composeText, lastUserText, reasoningSentences } from './brain-text.ts'
import { chooseCalls } from './brain-tools.ts'
import type { JsonObject } from './json.ts'
import { table } from './json.ts'
import type { Prompt, Thought, ToolCall } from './prompt.ts'
import { hash32, seededRandom } from './random.ts'
import { joinTurns } from './turns.ts'
import { countTokens, tokenEnd, tokenize } from './tokens.ts'

const REASONING_MODEL = /(?:^|[^a-z0-9])(?:o1|o3|o4|gpt-5)|reason/i

export const isReasoningModel = (model: string): boolean => REASONING_MODEL.test(model)

/** OpenAI's own, and the one that behaves like them: their thoughts stay hidden in the chat API. */
const HIDING_MODEL = /(?:^|[^a-z0-9])(?:o1|o3|o4|gpt-5)|^sim-reason$/i

/** Whether a chat API without signatures shows what is thought (`reasoning_content`, as DeepSeek's and vLLM's do). */
export const showsReasoning = (model: string): boolean => !HIDING_MODEL.test(model)

const EFFORT = table<number>({ none: 0, minimal: 0, low: 32, medium: 64, high: 128, xhigh: 256, max: 256 })

/** Models that can be told to, and those that always do. */
const thinks = (prompt: Prompt): boolean =>
  prompt.thinks ?? (prompt.effort !== undefined || isReasoningModel(prompt.model))

const reasoningTokens = (prompt: Prompt): number => {
  if (!thinks(prompt)) return 0
  const wanted = Math.min(EFFORT[prompt.effort ?? 'medium'] ?? 64, prompt.thinkBudget ?? Infinity)
  // Half of a tight budget is left for the answer: a model that thinks its whole budget away helps no test.
  return prompt.maxTokens === undefined ? wanted : Math.min(wanted, Math.floor(prompt.maxTokens / 2))
}

const seedOf = (prompt: Prompt, simSeed: number, choice: number): number => {
  let seed = (simSeed ^ Math.imul(prompt.seed + 1, 0x9e3779b1) ^ Math.imul(choice, 0x85ebca6b)) | 0
  for (const message of prompt.messages)
    seed = hash32(`${message.role}\0${message.text}\0${message.media.join()}`, seed)
  return seed
}

/** JSON mode has no schema: an object with the keys that the prompt asks for, or `answer`. */
const freeObject = (prompt: Prompt, seed: number, choice: number): JsonObject => {
  const texts = prompt.messages.map((message) => message.text).join('\n')
  const answer = composeText(prompt, seed, choice)
  if (!/\b(?:keys?|fields?|propert(?:y|ies)|columns?)\b/i.test(texts)) return { answer }
  const keys = [...texts.matchAll(/['"`]([A-Za-z_]\w{0,40})['"`]/g)].map((match) => match[1] ?? '')
  if (keys.length === 0) return { answer }
  return Object.fromEntries([...new Set(keys)].map((key, index) => [key, index === 0 ? answer : `the ${key}`]))
}

const structuredText = (prompt: Prompt, seed: number, choice: number): string | undefined => {
  const { format } = prompt
  if (format.type === 'text') return undefined
  if (format.type === 'json_object') return JSON.stringify(freeObject(prompt, seed, choice))
  const lift = createLift(lastUserText(prompt.messages))
  return JSON.stringify(smallestInstance(format.schema, { lift, allProperties: format.strict, liftOptional: false }))
}

/** The first `budget` tokens, and whether that cut anything off. */
const cutToTokens = (text: string, budget: number): { text: string; tokens: number; cut: boolean } => {
  let tokens = 0
  let at = 0
  while (at < text.length && tokens < budget) {
    at = tokenEnd(text, at)
    tokens++
  }
  return { text: text.slice(0, at), tokens, cut: at < text.length }
}

const beforeStop = (text: string, stops: readonly string[]): { before: string; stopped: string | undefined } => {
  let end = text.length
  let stopped: string | undefined
  for (const stop of stops) {
    const at = stop === '' ? -1 : text.indexOf(stop)
    if (at < 0 || at >= end) continue
    end = at
    stopped = stop
  }
  return { before: text.slice(0, end), stopped }
}

/** What is thought is about the question, and as long as it says in the bill. */
const reasoningText = (prompt: Prompt, seed: number, tokens: number): string => {
  if (tokens === 0) return ''
  const sentences = reasoningSentences(lastUserText(prompt.messages), seed, tokens)
  return cutToTokens(sentences, tokens).text
}

/** Tokens a call costs beside its input: name and framing. */
const callOverhead = (call: ToolCall): number => countTokens(call.name) + 3

interface Reasoned {
  readonly reasoning: string
  readonly reasoningTokens: number
}

const callThought = (calls: readonly ToolCall[], budget: number, reasoned: Reasoned): Thought => {
  const kept: ToolCall[] = []
  let used = 0
  let cut = false
  for (const call of calls) {
    const room = budget - used - callOverhead(call)
    const input = cutToTokens(call.input, Math.max(0, room))
    kept.push({ ...call, input: input.text })
    used += callOverhead(call) + input.tokens
    cut = input.cut
    if (cut) break
  }
  const finish = cut ? 'length' : 'tool_calls'
  const visibleTokens = Math.min(used, budget)
  return { text: null, calls: kept, finish, visibleTokens, ...reasoned, isJson: false }
}

/** @param choice 0-based index among the `n` answers. */
export const think = (asked: Prompt, simSeed: number, choice = 0): Thought => {
  const prompt = { ...asked, messages: joinTurns(asked.messages) }
  const seed = seedOf(prompt, simSeed, choice)
  const tokensThought = reasoningTokens(prompt)
  const reasoned = { reasoning: reasoningText(prompt, seed, tokensThought), reasoningTokens: tokensThought }
  const budget = prompt.maxTokens === undefined ? Infinity : Math.max(0, prompt.maxTokens - tokensThought)
  const calls = chooseCalls(prompt, seed)
  if (calls.length > 0) return callThought(calls, budget, reasoned)
  const structured = structuredText(prompt, seed, choice)
  const whole = structured ?? composeText(prompt, seed, choice)
  const { before, stopped } = beforeStop(whole, prompt.stop)
  const { text, tokens, cut } = cutToTokens(before, budget)
  const finish = cut ? 'length' : 'stop'
  return {
    text,
    calls: [],
    finish,
    visibleTokens: tokens,
    ...reasoned,
    stopped: cut ? undefined : stopped,
    isJson: structured !== undefined,
  }
}

/** Pieces for streaming JSON: 1 to 5 characters, so that strings, escapes and numbers are split. */
export const jsonPieces = (text: string): string[] => {
  const random = seededRandom(hash32(text))
  const chars = [...text]
  const pieces: string[] = []
  for (let at = 0; at < chars.length;) {
    const size = 1 + Math.floor(random() * 5)
    pieces.push(chars.slice(at, at + size).join(''))
    at += size
  }
  return pieces
}

export const textPieces = (thought: Thought): string[] =>
  thought.text === null ? [] : thought.isJson ? jsonPieces(thought.text) : tokenize(thought.text)

export interface TokenLogprob {
  readonly token: string
  readonly logprob: number
  readonly bytes: number[]
  readonly alternatives: readonly { readonly token: string; readonly logprob: number; readonly bytes: number[] }[]
}

const ALTERNATIVES = [
  ' the',
  ' a',
  ' and',
  ',',
  '.',
  ' of',
  ' to',
  ' in',
  ' is',
  ' that',
  ' it',
  ' on',
  ' for',
  ' as',
  ' with',
  ' at',
  ' by',
  ' or',
  ' but',
  ' not',
] as const

const withBytes = (token: string, logprob: number): { token: string; logprob: number; bytes: number[] } => ({
  token,
  logprob,
  bytes: [...Buffer.from(token)],
})

/** Made-up but consistent: the chosen token comes first, alternatives fall off after it. @param top 0..20 */
export const logprobsOf = (text: string, top: number): TokenLogprob[] =>
  tokenize(text).map((token, index) => {
    const logprob = -(hash32(token, index) % 900) / 1000
    const others = ALTERNATIVES.filter((other) => other !== token).slice(0, Math.max(0, top - 1))
    const ranked = [
      withBytes(token, logprob),
      ...others.map((other, rank) => withBytes(other, logprob - 1 - rank * 0.5)),
    ]
    return { ...withBytes(token, logprob), alternatives: ranked.slice(0, top) }
  })
