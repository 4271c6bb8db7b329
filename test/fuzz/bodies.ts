// JSON that was damaged or is merely odd. Whatever is accepted must mean the same to JSON.parse, to Heddle and to the
// backend; whatever is refused as no JSON must be none.
import { isDeepStrictEqual } from 'node:util'
import type { Agent } from 'node:http'
import type { SimReceived } from '../../src/sim/index.ts'
import { call } from '../support/client.ts'
import { mutate, type Chance } from './random.ts'

const DICTIONARY = [
  '"',
  '\\',
  '\\"',
  '\\u',
  '\\u0000',
  '\\ud83d',
  '\\ude00',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"model":"x",',
  '"mod\\u0065l":',
  '"__proto__":1,',
  '"stream":true,',
  '"stream":null,',
  '"stream_options":null,',
  '"stream_options":{"include_usage":false},',
  'null',
  'true',
  '1e999',
  '-0',
  '0.1e-7',
  ' ',
  '\n',
  '\t',
  '\0',
  '\xef\xbb\xbf',
  '\xc3\xa9',
  '\xf0\x9f\x98\x80',
  '\xff',
  '//',
  'NaN',
]
const WORDS = [
  'model',
  'stream',
  'user',
  'tools',
  'a',
  '',
  'é',
  '\ud83d\ude00',
  'x'.repeat(40),
  'stream_options',
  'max_tokens',
  '"',
  '\\',
  '\n',
  '\u0000',
  '\ud800',
]

function value(chance: Chance, depth: number): unknown {
  const kind = chance.below(depth > 0 ? 8 : 5)
  if (kind === 0) return chance.pick([0, -0, 1, 1.5, -1e-7, 1e21, 123456789])
  if (kind === 1) return chance.pick([true, false, null])
  if (kind < 5) return chance.pick(WORDS)
  const length = chance.below(chance.maybe(0.05) ? 60 : 4)
  if (kind === 5) return Array.from({ length }, () => value(chance, depth - 1))
  return Object.fromEntries(
    Array.from({ length }, (_, i) => [chance.pick(WORDS) + (length > 4 ? i : ''), value(chance, depth - 1)]),
  )
}

function text(chance: Chance): string {
  const fields: [string, unknown][] = [
    ['model', 'a/sim-chat'],
    ['messages', [{ role: 'user', content: chance.pick(WORDS) }]],
    ...Array.from({ length: chance.below(4) }, (_, i): [string, unknown] => [`x${i}`, value(chance, 4)]),
  ]
  if (chance.maybe(0.3)) fields.push(['stream', true])
  if (chance.maybe(0.2))
    fields.push(['stream_options', chance.pick([null, {}, { include_usage: true }, { include_usage: false, a: [1] }])])
  fields.sort(() => chance.next() - 0.5)
  return JSON.stringify(Object.fromEntries(fields), null, chance.pick([0, 0, 1, '\t']))
}

export interface BodyTarget {
  readonly url: string
  readonly agent: Agent
  readonly received: readonly SimReceived[]
}

const parsed = (body: Buffer): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    return undefined
  }
}

const without = (json: unknown): unknown => {
  const { model: _model, stream_options: _options, ...rest } = json as Record<string, unknown>
  return rest
}

/** One request; throws what is wrong. id: becomes the idempotency key by which the backend's side is found. */
export async function fuzzBody(chance: Chance, id: string, target: BodyTarget): Promise<void> {
  const whole = Buffer.from(text(chance))
  const body = chance.maybe(0.75) ? mutate(chance, whole, 1 + chance.below(3), DICTIONARY) : whole
  const reply = await call(`${target.url}/v1/chat/completions`, {
    method: 'POST',
    body,
    agent: target.agent,
    headers: { 'idempotency-key': id },
  })
  const shown = JSON.stringify(body.toString('latin1'))
  const want = parsed(body)
  const got = target.received.findLast((r) => r.headers['idempotency-key'] === id)
  if (reply.status >= 500) throw new Error(`an error of ours: ${reply.status} ${reply.text} for ${shown}`)
  if (got === undefined) {
    if (reply.status < 400) throw new Error(`answered without a backend: ${shown}`)
    if (want !== undefined && /not valid (?:JSON|UTF-8)/.test(reply.text))
      throw new Error(`refused, but JSON: ${reply.text} for ${shown}`)
    return
  }
  if (want === undefined) throw new Error(`accepted, but no JSON: ${shown}`)
  const seen = parsed(got.body)
  if (seen === undefined)
    throw new Error(`what went on is no JSON: ${JSON.stringify(got.body.toString('latin1'))} of ${shown}`)
  if (!isDeepStrictEqual(without(seen), without(want)))
    throw new Error(`changed on its way: ${JSON.stringify(got.body.toString('latin1'))} of ${shown}`)
  const sentModel = (want as { model: string }).model
  const { model } = seen as { model: string }
  if (sentModel !== model && sentModel !== `a/${model}`) throw new Error(`another model: ${model} for ${shown}`)
  const options = (want as { stream_options?: unknown }).stream_options
  const went = (seen as { stream_options?: Record<string, unknown> | null }).stream_options
  if (
    typeof options === 'object' &&
    options !== null &&
    !isDeepStrictEqual({ ...options, include_usage: 0 }, { ...went, include_usage: 0 })
  )
    throw new Error(`options lost: ${shown}`)
}
