import fc from 'fast-check'
import type { ChatRequest, FinishReason, Json, JsonObject, Opaque, Part } from '../../src/contracts/canonical.ts'
import type { AnswerContext, AnswerSink, ClientDialect, Dialect } from '../../src/contracts/dialect.ts'
import type { Usage } from '../../src/contracts/usage.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { CollectedAnswer } from '../../src/protocol/canonical/collect.ts'
import type { Block, CollectedChoice } from '../../src/protocol/canonical/collect.ts'
import { NO_USAGE } from '../../src/protocol/usage.ts'

/** What the tests of all client dialects share. */

/** One call of a sink. */
export type Told = (sink: AnswerSink) => void

export const play = (script: readonly Told[], sink: AnswerSink): void => {
  for (const tell of script) tell(sink)
}

export const USED: Usage = {
  ...NO_USAGE,
  inputTokens: 100,
  outputTokens: 40,
  cachedInputTokens: 30,
  cacheWrite5mTokens: 20,
  cacheWrite1hTokens: 10,
  reasoningTokens: 15,
}

export function contextOf(over: Partial<AnswerContext> = {}): AnswerContext {
  const request: ChatRequest = { model: 'nice-model', messages: [], stream: true }
  return {
    requestId: 'req-1',
    model: 'nice-model',
    created: 1_700_000_000,
    includeUsage: true,
    request,
    sent: {},
    ...over,
  }
}

const DIALECTS: readonly Dialect[] = ['openai.chat', 'openai.responses', 'anthropic.messages', 'gemini.generate']

/** Values that codecs may be tempted to take apart: marks of ours, of base64, of nothing. */
const opaque: fc.Arbitrary<Opaque> = fc.record({
  by: fc.constantFrom(...DIALECTS, 'bedrock.converse' as const),
  value: fc.oneof(
    fc.base64String({ minLength: 4, maxLength: 24 }).filter((text) => text !== ''),
    fc.constantFrom('hdl1.openai.chat!abc', 'hdl2.sabc!AAAA', 'aGRsMS4h', 'a!b%21c%25', 'EuYBCkYI+/=='),
  ),
})

const piece = fc.string({ unit: 'grapheme', minLength: 0, maxLength: 12 })
const pieces = fc.array(piece, { minLength: 1, maxLength: 4 })

const textTold = pieces.map((list) =>
  list.map(
    (text): Told =>
      (sink) =>
        sink.text(0, text),
  ),
)
const thoughtTold = fc
  .tuple(pieces, fc.option(opaque), fc.constantFrom('', 'rs_1', 'a!b%'))
  .map(([list, signature, id]) => [
    ...list.map(
      (text): Told =>
        (sink) =>
          sink.reasoning(0, text),
    ),
    ...(signature === null ? [] : [(sink: AnswerSink) => sink.signature(0, signature, id)]),
  ])
const redactedTold = opaque.map((data) => [(sink: AnswerSink) => sink.redacted(0, data)])

/** Parts of a text: cut at some places. */
const cut = (text: string, cuts: readonly number[]): string[] => {
  const at = [...new Set(cuts.map((n) => n % (text.length + 1)))].sort((a, b) => a - b)
  return [...at, text.length].map((end, i) => text.slice(i === 0 ? 0 : at[i - 1], end))
}

const callTold = fc.tuple(
  fc.dictionary(fc.constantFrom('city', 'n', 'deep'), fc.oneof(piece, fc.integer(), fc.constant({ a: ['x'] }))),
  fc.array(fc.nat(60), { maxLength: 3 }),
  fc.option(opaque),
  fc.nat(2),
)

export interface ScriptOptions {
  /** Calls sign themselves before their arguments only, or also after: when the next has begun, or all is over. */
  readonly lateSignatures?: boolean
  /** Texts have sources. */
  readonly citations?: boolean
  /** Calls take no turns. */
  readonly oneByOne?: boolean
}

const citedTold = fc
  .tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), fc.nat(2))
  .map(([text, count]) => [
    (sink: AnswerSink) => sink.text(0, text),
    ...Array.from(
      { length: count },
      (_none, i): Told =>
        (sink) =>
          sink.citation(0, { url: `https://x.test/${i}`, title: text }),
    ),
  ])

/** A well-formed answer of one choice, without start and end. */
export const contents = (options: ScriptOptions = {}): fc.Arbitrary<Told[]> =>
  fc
    .array(
      fc.oneof(
        (options.citations === true ? citedTold : textTold).map((told) => ({ told })),
        thoughtTold.map((told) => ({ told })),
        redactedTold.map((told) => ({ told })),
        callTold.map((call) => ({ calls: [call] })),
        fc.array(callTold, { minLength: 2, maxLength: 3 }).map((calls) => ({ calls })),
      ),
      { minLength: 0, maxLength: 6 },
    )
    .map((blocks) => {
      const script: Told[] = []
      const last: Told[] = []
      let index = 0
      for (const block of blocks) {
        if ('told' in block) script.push(...block.told)
        else {
          const scripts = block.calls.map((call, i) => callScript(index + i, call, options.lateSignatures === true))
          index += scripts.length
          const told = scripts.map((call) => call.told)
          script.push(...(options.oneByOne === true ? told.flat() : inTurns(told)))
          for (const { late } of scripts) last.push(...late)
        }
      }
      return [...script, ...last]
    })

/** One of each, again and again: all have begun before the first goes on. */
function inTurns(scripts: readonly (readonly Told[])[]): Told[] {
  const most = Math.max(...scripts.map((script) => script.length))
  return Array.from({ length: most }, (_none, i) => scripts.flatMap((script) => script.slice(i, i + 1))).flat()
}

type Call = typeof callTold extends fc.Arbitrary<infer T> ? T : never

function callScript(index: number, call: Call, lateAllowed: boolean): { told: Told[]; late: Told[] } {
  const [args, cuts, signature, when] = call
  const place = lateAllowed ? when : 0
  const sign: Told[] = signature === null ? [] : [(sink) => sink.toolSignature(0, index, signature)]
  // A call may also have no arguments at all.
  const text = Object.keys(args).length === 0 && cuts.length > 1 ? '' : JSON.stringify(args)
  const told: Told[] = [
    (sink) => sink.toolCall(0, index, `call_${index}x`, `tool_${index}`, false),
    ...(place === 0 ? sign : []),
    ...(text === '' ? [] : cut(text, cuts)).map(
      (part): Told =>
        (sink) =>
          sink.toolArguments(0, index, part),
    ),
    ...(place === 1 ? sign : []),
  ]
  return { told, late: place === 2 ? sign : [] }
}

/** start, contents, finish, usage, end. */
export function whole(middle: readonly Told[], reason: FinishReason = 'stop', id = 'backend-1'): Told[] {
  return [
    (sink) => sink.start(id, 'their-model'),
    ...middle,
    (sink) => sink.finish(0, reason, ''),
    (sink) => sink.usage(USED),
    (sink) => sink.end(),
  ]
}

/** What an answer says, as parts of a conversation. */
export function partsOf(script: readonly Told[]): Part[] {
  const answer = new CollectedAnswer()
  play(script, answer)
  return (answer.choices[0]?.blocks ?? []).filter((block) => block.type !== 'text' || block.text !== '').map(partOf)
}

export const collected = (script: readonly Told[]): CollectedChoice => {
  const answer = new CollectedAnswer()
  play(script, answer)
  return answer.at(0)
}

function partOf(block: Block): Part {
  switch (block.type) {
    case 'text':
      return { type: 'text', text: block.text }
    case 'refusal':
      return { type: 'refusal', text: block.text }
    case 'tool_call': {
      const { id, name, arguments: args, signature } = block
      return { type: 'tool_call', id, name, arguments: args, ...(signature === null ? {} : { signature }) }
    }
    default: {
      const { text, signature, redacted, id } = block
      return {
        type: 'reasoning',
        text,
        ...(signature === null ? {} : { signature }),
        ...(redacted === null ? {} : { redacted }),
        ...(id === '' ? {} : { id }),
      }
    }
  }
}

/** Arguments are objects in most dialects: of none at all nothing is left. */
export const withObjects = (parts: readonly Part[]): Part[] =>
  parts.map((part) => (part.type === 'tool_call' && part.arguments === '' ? { ...part, arguments: '{}' } : part))

/** The stream as it is written when the client asked for probabilities, and the backend gave none. */
export const withLogprobs = (): AnswerContext => contextOf({ request: { ...contextOf().request, logprobs: true } })

/** Texts in a row are one for dialects that do not tell where one ends. */
export function joined(parts: readonly Part[]): Part[] {
  const out: Part[] = []
  for (const part of parts) {
    const last = out.at(-1)
    if (part.type === 'text' && last?.type === 'text') out[out.length - 1] = { ...last, text: last.text + part.text }
    else out.push(part)
  }
  return out
}

export const bodyOf = (dialect: ClientDialect, script: readonly Told[], context = contextOf()): JsonObject => {
  const encoder = dialect.answer(context)
  play(script, encoder)
  return JSON.parse(encoder.body()) as JsonObject
}

/** The stream's text; taken after each call, or only at the end. */
export function streamOf(
  dialect: ClientDialect,
  script: readonly Told[],
  often: boolean,
  context = contextOf(),
): string {
  const encoder = dialect.stream(context)
  let out = ''
  for (const tell of script) {
    tell(encoder)
    if (often) out += encoder.take()
  }
  return out + encoder.take()
}

export interface SseEvent {
  readonly name: string
  readonly data: string
}

export function eventsOf(sse: string): SseEvent[] {
  if (sse !== '' && !sse.endsWith('\n\n')) throw new Error('the last event is not whole')
  return sse
    .split('\n\n')
    .filter((text) => text !== '' && !text.startsWith(':'))
    .map((text) => {
      const lines = text.split('\n')
      const of = (field: string): string | undefined =>
        lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2)
      return { name: of('event') ?? '', data: of('data') ?? '' }
    })
}

export const dataOf = (sse: string): JsonObject[] =>
  eventsOf(sse)
    .filter((event) => event.data !== '[DONE]')
    .map((event) => JSON.parse(event.data) as JsonObject)

/** JSON of any shape, with the field names of the dialects in it: those reach further in than random ones. */
export function wildRequest(valid: readonly JsonObject[]): fc.Arbitrary<JsonObject> {
  const random = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })) as fc.Arbitrary<JsonObject>
  const mutated = fc
    .tuple(
      fc.constantFrom(...valid),
      fc.array(fc.tuple(fc.nat(), fc.nat(5), fc.jsonValue({ maxDepth: 2 })), { minLength: 1, maxLength: 4 }),
    )
    .map(([body, changes]) => {
      const copy = structuredClone(body)
      for (const [where, how, value] of changes) mutate(copy, where, how, value as Json)
      return copy
    })
  return fc.oneof({ weight: 1, arbitrary: random }, { weight: 8, arbitrary: mutated })
}

type Place = readonly [holder: JsonObject | Json[], key: string | number]

function places(value: Json, found: Place[]): void {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value))
    for (const [i, item] of value.entries()) {
      found.push([value, i])
      places(item, found)
    }
  else
    for (const [key, item] of Object.entries(value)) {
      found.push([value, key])
      places(item, found)
    }
}

function mutate(body: JsonObject, where: number, how: number, value: Json): void {
  const found: Place[] = []
  places(body, found)
  const place = found[where % Math.max(1, found.length)]
  if (place === undefined) return
  const [holder, key] = place
  const set = (next: Json): void => {
    ;(holder as Record<string | number, Json>)[key] = next
  }
  const before = (holder as Record<string | number, Json>)[key]!
  if (how === 0) set(value)
  else if (how === 1) set(null)
  else if (how === 2) set([before])
  else if (how === 3) set('')
  else if (how === 4 && !Array.isArray(holder)) delete holder[key]
  else set({ [String(key)]: before })
}

/** Nothing but a mistake of the client may come of it; the error names a field. */
export function expectOnlyClientErrors(dialect: ClientDialect, sent: JsonObject): string {
  try {
    dialect.request(sent, 'm', false)
    return 'read'
  } catch (error) {
    if (!GatewayError.is(error)) throw error
    if (error.status < 400 || error.status > 499 || error.param === undefined)
      throw new Error(`${error.status} ${error.code} ${error.param}`, { cause: error })
    return error.param
  }
}
