/** `POST /v1/completions`, the API before chat: prompts as text or tokens, `echo`, `best_of`, `suffix`, `logprobs`. */
import type { Answer, StreamEvent } from './answer.ts'
import { logprobsOf, think } from './brain.ts'
import type { Call } from './call.ts'
import { epochSeconds } from './call.ts'
import { streamOptions, usageBody } from './chat.ts'
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray } from './json.ts'
import { flag, integerIn, numberIn, stopSequences, text } from './params.ts'
import type { Prompt, Thought } from './prompt.ts'
import { hash32 } from './random.ts'
import { countTokens, tokenize } from './tokens.ts'
import { measurePrompt, totalUse } from './usage.ts'

/** The tokens of a vendor's tokenizer say nothing to this one: each becomes a word of its own. */
export const tokensAsText = (tokens: readonly Json[], param: string): string =>
  tokens
    .map((token) => {
      if (typeof token !== 'number' || !Number.isInteger(token) || token < 0) {
        throw badRequest(
          `Invalid '${param}': expected a string, array of strings, array of tokens, or array of token arrays.`,
          param,
        )
      }
      return `t${token}`
    })
    .join(' ')

const readPrompts = (body: JsonObject): string[] => {
  const prompt = body['prompt']
  if (prompt === undefined || prompt === null) return ['']
  if (typeof prompt === 'string') return [prompt]
  const items = asArray(prompt)
  if (items === undefined || items.length === 0)
    throw badRequest("Invalid type for 'prompt'.", 'prompt', 'invalid_type')
  if (typeof items[0] === 'number') return [tokensAsText(items, 'prompt')]
  return items.map((item) => {
    if (typeof item === 'string') return item
    const tokens = asArray(item)
    if (tokens === undefined) throw badRequest("Invalid type for 'prompt'.", 'prompt', 'invalid_type')
    return tokensAsText(tokens, 'prompt')
  })
}

const promptOf = (call: Call, asked: string, suffix: string): Prompt => {
  const { body } = call
  const user = { role: 'user', text: asked, media: [], calls: [] } as const
  return {
    model: call.model,
    messages: suffix === '' ? [user] : [{ role: 'system', text: suffix, media: [], calls: [] }, user],
    tools: [],
    toolChoice: { mode: 'none' },
    parallel: false,
    format: { type: 'text' },
    seed: integerIn(body, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ?? 0,
    stop: stopSequences(body),
    maxTokens: integerIn(body, 'max_tokens', 0, 1_000_000) ?? 16,
    minTokens: integerIn(body, 'min_tokens', 0, 1_000_000) ?? 0,
    effort: undefined,
    suffix: call.suffix,
  }
}

interface Completion {
  readonly asked: string
  readonly thought: Thought
  /** What is new, without the echoed prompt. */
  readonly text: string
}

/** The best of several by the made-up log probability of its tokens; ties go to the earlier. */
const best = (candidates: readonly Completion[], n: number): Completion[] => {
  const score = ({ text: candidate }: Completion): number => {
    const tokens = logprobsOf(candidate, 0)
    return tokens.reduce((sum, token) => sum + token.logprob, 0) / Math.max(1, tokens.length)
  }
  return candidates
    .map((candidate, index) => ({ candidate, index, score: score(candidate) }))
    .toSorted((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, n)
    .map(({ candidate }) => candidate)
}

const logprobBody = (asked: string, answer: string, top: number, echo: boolean, from = 0): JsonObject => {
  const echoed = echo ? tokenize(asked) : []
  const own = logprobsOf(answer, Math.max(1, top))
  const tokens = [...echoed, ...own.map((token) => token.token)]
  let at = from
  const offsets = tokens.map((token) => {
    const offset = at
    at += token.length
    return offset
  })
  return {
    tokens,
    token_logprobs: [...echoed.map(() => null), ...own.map((token) => token.logprob)],
    top_logprobs: [
      ...echoed.map(() => null),
      ...own.map((token) =>
        Object.fromEntries(token.alternatives.slice(0, Math.max(1, top)).map((other) => [other.token, other.logprob])),
      ),
    ],
    text_offset: offsets,
  }
}

const complete = (call: Call, asked: string, suffix: string, choice: number): Completion => {
  const prompt = promptOf(call, asked, suffix)
  const thought = think({ ...prompt, suffix: prompt.suffix }, call.state.seed, choice)
  const words = thought.text ?? ''
  const lead = words === '' || asked === '' || /\s$/.test(asked) ? '' : ' '
  return { asked, thought, text: lead + words }
}

interface Options {
  readonly echo: boolean
  readonly top: number | undefined
  readonly head: JsonObject
}

const streamEvents = (
  made: readonly Completion[],
  { echo, top, head }: Options,
  usage: JsonObject | undefined,
): StreamEvent[] => {
  const tail = usage === undefined ? {} : { usage: null }
  const chunk = (
    index: number,
    piece: string,
    finish: string | null,
    offset: number,
    content: boolean,
  ): StreamEvent => {
    const logprobs = top === undefined || piece === '' ? null : logprobBody('', piece, top, false, offset)
    return {
      data: JSON.stringify({ ...head, choices: [{ text: piece, index, logprobs, finish_reason: finish }], ...tail }),
      content,
    }
  }
  const events = made.flatMap(({ asked, text: answer, thought }, index) => {
    let offset = echo ? asked.length : 0
    const pieces = tokenize(answer).map((piece) => {
      const event = chunk(index, piece, null, offset, true)
      offset += piece.length
      return event
    })
    return [
      ...(echo ? [chunk(index, asked, null, 0, true)] : []),
      ...pieces,
      chunk(index, '', thought.finish, offset, false),
    ]
  })
  if (usage !== undefined) events.push({ data: JSON.stringify({ ...head, choices: [], usage }), content: false })
  events.push({ data: '[DONE]', content: false })
  return events
}

export const legacyCompletion = (call: Call): Answer => {
  const { body, state } = call
  numberIn(body, 'temperature', 0, 2)
  const { stream, includeUsage } = streamOptions(body)
  const n = integerIn(body, 'n', 1, 128) ?? 1
  const bestOf = integerIn(body, 'best_of', 1, 20) ?? n
  if (bestOf < n)
    throw badRequest(
      "You requested that the server return more choices than it will generate (HINT: you must set 'n' (currently " +
        `${n}) to be at most 'best_of' (currently ${bestOf}), or omit either parameter if you don't specifically want to use them.)`,
      'best_of',
    )
  if (stream && bestOf > n) throw badRequest("You cannot use 'best_of' greater than 'n' when streaming.", 'best_of')
  const suffix = text(body, 'suffix') ?? ''
  const prompts = readPrompts(body)
  const top = integerIn(body, 'logprobs', 0, 5)
  const echo = flag(body, 'echo') ?? false
  const candidates = prompts.map((asked) =>
    Array.from({ length: bestOf }, (_, choice) => complete(call, asked, suffix, choice)),
  )
  const made = candidates.flatMap((group) => (bestOf > n ? best(group, n) : group))
  const promptUses = prompts.map((asked) => measurePrompt(state, promptOf(call, asked, suffix)))
  const promptTokens = prompts.reduce((sum, asked) => sum + Math.max(1, countTokens(asked)), 0)
  const cached = Math.min(
    promptTokens,
    promptUses.reduce((sum, use) => sum + use.cached, 0),
  )
  // As the API bills it: every candidate, also those that best_of threw away.
  const use = totalUse(
    { tokens: promptTokens, cached },
    candidates.flat().map(({ thought }) => thought),
  )
  const head: JsonObject = {
    id: `cmpl-${state.nextId(24)}`,
    object: 'text_completion',
    created: epochSeconds(),
    model: call.model,
    system_fingerprint: `fp_${hash32(String(state.seed)).toString(16)}`,
  }
  const options: Options = { echo, top, head }
  if (stream) {
    return {
      kind: 'stream',
      events: streamEvents(made, options, includeUsage ? usageBody(use) : undefined),
      use,
      endEvents: 1,
      contentEvent: (piece) => ({
        data: JSON.stringify({ ...head, choices: [{ text: piece, index: 0, logprobs: null, finish_reason: null }] }),
        content: true,
      }),
      errorEvent: (error) => ({ data: JSON.stringify({ error }), content: false }),
    }
  }
  const choices = made.map(({ asked, text: answer, thought }, index) => ({
    text: echo ? asked + answer : answer,
    index,
    logprobs: top === undefined ? null : logprobBody(asked, answer, top, echo),
    finish_reason: thought.finish,
  }))
  return { kind: 'json', body: { ...head, choices, usage: usageBody(use) }, use, payloadKey: 'choices' }
}
