// Damaged answers of backends of every wire, in arbitrary pieces, told to clients of every dialect: what the client gets
// never depends on the pieces, it always ends, and an end that looks good is one that the client's own reader takes.
import type { ChatRequest, JsonObject } from '../../src/contracts/canonical.ts'
import type { AnswerContext, Dialect } from '../../src/contracts/dialect.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { TranslatedReader } from '../../src/pipeline/answer-reader.ts'
import { harness } from '../../src/pipeline/attempt-fixture.ts'
import { TranslatedStream } from '../../src/pipeline/translated-stream.ts'
import { clientDialect } from '../../src/protocol/client-dialects.ts'
import { featuresIn } from '../../src/protocol/canonical/features.ts'
import { missingFor } from '../../src/protocol/canonical/negotiate.ts'
import { wireOf } from '../../src/protocol/wires.ts'
import { startSim } from '../../src/sim/index.ts'
import { CONVERSATIONS } from '../support/conversations.ts'
import { BASES, bodyIn, Hearer, MODELS, pathOf, readStream } from '../support/translation.ts'
import { Chance, mutate, split } from './random.ts'
import type { FuzzResult } from './run.ts'

/** What a backend really sends. */
interface Good {
  readonly wire: Dialect
  readonly request: ChatRequest
  readonly type: string
  readonly stream: Buffer
  readonly whole: Buffer
}

const CLIENTS: readonly Dialect[] = [
  'openai.chat',
  'openai.completions',
  'openai.responses',
  'anthropic.messages',
  'gemini.generate',
  'ollama.chat',
  'bedrock.converse',
  'cohere.chat',
]
const TALKS = ['one turn', 'two tools at once', 'reasoning', 'other scripts', 'cut by its length']

const DICTIONARY = [
  '\n',
  '\n\n',
  '\r\n',
  '\r',
  '\0',
  'data: ',
  'data: [DONE]\n\n',
  'data: {"error":{"message":"x","type":"server_error"}}\n\n',
  'event: error\n',
  'event: message_stop\ndata: {"type":"message_stop"}\n\n',
  '{"done":true}\n',
  '{"error":"x"}\n',
  ': comment\n\n',
  '"',
  '\\',
  '\\ud83d',
  '{',
  '}',
  '[',
  ']',
  'null',
  '-1',
  '1e999',
  '"index":7,',
  '"finish_reason":"stop"',
  '"finishReason":"STOP"',
  '"__proto__":{},',
  '\xff',
  '\xe2\x82',
  '\xef\xbb\xbf',
  '\0\0\0\x10\0\0\0\0',
]

const contextFor = (request: ChatRequest): AnswerContext => ({
  requestId: 'fuzz-1',
  model: 'm',
  created: 1_700_000_000,
  includeUsage: true,
  request: { ...request, messages: [] },
  sent: {},
})

/** Of every wire that the simulator speaks, every talk that the wire can carry. */
export async function capture(): Promise<readonly Good[]> {
  const sim = await startSim({ port: 0 })
  const origin = `http://127.0.0.1:${sim.port}`
  const found: Good[] = []
  try {
    for (const wire of Object.keys(BASES) as Dialect[])
      for (const { request } of CONVERSATIONS.filter(({ name }) => TALKS.includes(name))) {
        if (missingFor(featuresIn(request), wireOf(wire), 'refuse') !== null) continue
        const ask = async (stream: boolean): Promise<Response> => {
          const model = MODELS[wire] ?? 'sim-1'
          const body = JSON.stringify(bodyIn(wire, request, model, stream))
          const headers = { 'content-type': 'application/json' }
          return fetch(origin + pathOf(wire, model, stream), { method: 'POST', headers, body })
        }
        const streamed = await ask(true)
        const whole = await ask(false)
        if (!streamed.ok || !whole.ok) throw new Error(`${wire}: ${await streamed.text()} ${await whole.text()}`)
        found.push({
          wire,
          request,
          type: streamed.headers.get('content-type') ?? '',
          stream: Buffer.from(await streamed.arrayBuffer()),
          whole: Buffer.from(await whole.arrayBuffer()),
        })
      }
  } finally {
    await sim.close()
  }
  return found
}

interface Outcome {
  /** `done`, or how it failed, and whether bytes had gone out. */
  readonly end: string
  readonly reason: string
  readonly bytes: Buffer
}

function play({ wire, request, type }: Good, client: Dialect, pieces: readonly Buffer[]): Outcome {
  const h = harness()
  const attempt = new TranslatedStream(
    h.plan({
      wire: wireOf(wire),
      client: clientDialect(client),
      context: contextFor(request),
      asked: undefined,
      resumes: false,
    }),
  )
  h.start(attempt, { 'content-type': type })
  for (const piece of pieces) if (!attempt.over) h.backend.sink.onData(Buffer.from(piece))
  if (!attempt.over) h.backend.sink.onEnd()
  const ends = h.events.filter((event) => event === 'done' || /^(?:failed|broken) /.test(event))
  const [first = 'nothing', ...more] = ends
  if (more.length > 0) throw new Error(`ended ${ends.length} times: ${h.events.join()}`)
  const [end = '', ...reason] = first.split(' ')
  const error = new GatewayError('stream_interrupted', 'broke off')
  const tail = end === 'broken' ? attempt.encoder.error(error) : ''
  return {
    end,
    reason: reason.join(' '),
    bytes: Buffer.concat([h.written(), typeof tail === 'string' ? Buffer.from(tail) : tail]),
  }
}

const TOLD_OF_ENDS: ReadonlySet<Dialect> = new Set(CLIENTS.filter((client) => client !== 'openai.completions'))

/** Throws when the client's own reader would not take it for what it is. */
function checkRead(client: Dialect, { end, bytes }: Outcome): void {
  if (end === 'failed' || !TOLD_OF_ENDS.has(client)) return
  const hearer = new Hearer()
  let fault: Error | null = null
  try {
    readStream(client, bytes, hearer)
  } catch (error) {
    fault = error instanceof Error ? error : new Error(String(error))
  }
  if (end === 'done' && fault !== null) throw fault
  if (end === 'broken' && fault === null) throw new Error('what broke off reads as if it were whole')
}

function fuzzStream(chance: Chance, good: Good, client: Dialect): string {
  const bytes = chance.maybe(0.85) ? mutate(chance, good.stream, 1 + chance.below(4), DICTIONARY) : good.stream
  // All single bytes, and some pieces.
  const fine = Array.from({ length: bytes.length }, (_, i) => bytes.subarray(i, i + 1))
  const one = play(good, client, fine)
  const other = play(good, client, split(chance, bytes, 1 + chance.below(8)))
  if (one.end === 'nothing' || other.end === 'nothing') throw new Error('no end')
  // A failure in the same piece as the first content can still be retried: nothing of it has gone out.
  const held = one.end !== 'done' && other.end !== 'done' && one.end !== other.end
  if (!held && one.end !== other.end)
    throw new Error(`${one.end} ${one.reason} or ${other.end} ${other.reason}, by pieces`)
  if (one.reason !== other.reason) throw new Error(`${one.reason} or ${other.reason}, by pieces`)
  if (!held && !one.bytes.equals(other.bytes))
    throw new Error(`other bytes by pieces:\n${one.bytes.toString()}\n---\n${other.bytes.toString()}`)
  checkRead(client, one)
  checkRead(client, other)
  return one.end
}

function fuzzWhole(chance: Chance, { wire, request, whole }: Good, client: Dialect): string {
  const bytes = chance.maybe(0.85) ? mutate(chance, whole, 1 + chance.below(3), DICTIONARY) : whole
  const reader = new TranslatedReader(wireOf(wire), clientDialect(client), contextFor(request), undefined)
  const { verdict, body } = reader.read(bytes)
  if (verdict !== 'ok') return verdict
  const answer = JSON.parse(body.toString()) as JsonObject
  if (TOLD_OF_ENDS.has(client)) {
    const read = wireOf(client).answer(answer, new Hearer())
    if (read !== 'ok') throw new Error(`${read} for the client: ${body.toString()}`)
  }
  return 'done'
}

/** Runs seeds from, from+1, … while more(done) says so; stops after ten failures. ends: how often which end was met. */
export async function fuzzTranslated(
  from: number,
  more: (done: number) => boolean,
): Promise<FuzzResult & { readonly ends: ReadonlyMap<string, number> }> {
  const goods = await capture()
  const failures: string[] = []
  const ends = new Map<string, number>()
  let seed = from
  for (; failures.length < 10 && more(seed - from); seed++) {
    const chance = new Chance(seed)
    const good = chance.pick(goods)
    const client = chance.pick(CLIENTS)
    try {
      const end = chance.maybe(0.7) ? fuzzStream(chance, good, client) : fuzzWhole(chance, good, client)
      ends.set(end, (ends.get(end) ?? 0) + 1)
    } catch (error) {
      failures.push(
        `translated seed ${seed}, ${good.wire} to ${client}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
      )
    }
  }
  return { cases: seed - from, failures, ends }
}

/** What of an answer without any end is kept at most: the error tells. */
export function playEndless(good: Good, client: Dialect, bytes: number): Outcome {
  const filler = Buffer.alloc(65_536, 'x')
  return play(good, client, [
    good.stream.subarray(0, 20),
    ...Array.from({ length: Math.ceil(bytes / filler.length) }, () => filler),
  ])
}
