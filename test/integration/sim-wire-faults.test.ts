// Every fault on every wire: the sensible same thing, in the vendor's own words, or a 400 that says it makes no sense.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Fault, Sim } from '../../src/sim/index.ts'
import { FAULTS, SPLIT_UTF8_TEXT, startSim } from '../../src/sim/index.ts'
import type { Conversation, WireName } from '../support/wires.ts'
import { askOver, readStream, requestFor, WIRE_NAMES } from '../support/wires.ts'

let sim: Sim
let origin = ''
beforeAll(async () => {
  sim = await startSim()
  origin = sim.url.replace(/\/v1$/, '')
})
afterAll(() => sim.close())

const asked: Conversation = { name: 'Paris', turns: [{ role: 'user', text: 'What is the capital of France?' }] }
const ANSWER = 'The capital of France is Paris.'
const NAMES = WIRE_NAMES.filter((name) => !name.startsWith('openai'))

/** By wire; faults of OpenAI's are tested in sim-faults.test.ts. */
const SENSELESS: Readonly<Record<string, readonly string[]>> = {
  anthropic: ['annotations_first'],
  gemini: ['annotations_first'],
  bedrock: ['annotations_first', 'comments', 'crlf'],
  ollama: ['annotations_first', 'comments', 'insufficient_quota', 'content_filter'],
  cohere: ['annotations_first', 'content_filter'],
  tgi: ['annotations_first', 'insufficient_quota', 'content_filter'],
}
const END: Readonly<Record<string, string>> = {
  anthropic: '"type":"message_stop"',
  gemini: '"finishReason"',
  bedrock: '"stopReason"',
  ollama: '"done":true',
  cohere: '"finish_reason":"COMPLETE"',
  tgi: '"generated_tokens"',
}
/** Shapes of errors: where the message stands. */
const messageOf = (name: WireName, body: string): unknown => {
  const value = JSON.parse(body) as { error?: unknown; message?: unknown }
  const error = value.error as { message?: unknown } | undefined
  if (name === 'anthropic' || name === 'gemini') return error?.message
  return name === 'bedrock' || name === 'cohere' ? value.message : value.error
}

const send = async (name: WireName, fault: string, stream: boolean) => {
  const { path, body } = requestFor(name, asked, stream)
  const response = await fetch(origin + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-sim-fault': fault },
    body,
    redirect: 'manual',
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  return { response, bytes, text: bytes.toString() }
}

const whole = async (name: WireName, { name: fault }: Fault, stream: boolean): Promise<void> => {
  const said = await askOver(name, origin, asked, stream, { 'x-sim-fault': fault })
  if (fault === 'duplicate_frames' && stream) expect(said.text).toContain('TheThe capital capital')
  else expect(said.text).toBe(ANSWER + (fault === 'split_utf8' ? SPLIT_UTF8_TEXT : ''))
}

const refused = async (name: WireName, { name: fault }: Fault, stream: boolean): Promise<void> => {
  const { response, text, bytes } = await send(name, fault, stream)
  if (fault === 'content_filter' && response.status === 200)
    return expect(text).toMatch(/PROHIBITED_CONTENT|guardrail_intervened/)
  if (fault !== 'early_error') {
    expect(response.status >= 400 || fault === 'overloaded_body').toBe(true)
    expect(response.headers.get('content-type')).toBe('application/json')
    return expect(messageOf(name, text)).toEqual(expect.stringMatching(/\w+/))
  }
  expect(response.status).toBe(200)
  expect(text).not.toContain('capital')
  expect(bytes.length).toBeGreaterThan(0)
  expect(text).toMatch(/overloaded|UNAVAILABLE|serviceUnavailable|error/i)
}

const breaks = async (name: WireName, { name: fault }: Fault): Promise<void> => {
  if (fault === 'reset_after') return expect(send(name, fault, true)).rejects.toThrow(/./)
  const { text, bytes } = await send(name, fault, true)
  expect(text).toContain('capital')
  if (fault === 'torn_utf8') return expect(text).toContain('\uFFFD')
  expect(text).not.toContain(END[name])
  if (fault !== 'truncated_event') return
  expect(() => readStream(name, bytes)).toThrow(/./)
}

const garbage = async (name: WireName, { name: fault }: Fault, stream: boolean): Promise<void> => {
  const { response, text } = await send(name, fault === 'gzip_bomb' ? 'gzip_bomb=100000' : fault, stream)
  expect(response.status).toBeLessThan(400)
  if (fault === 'huge_event') return expect(text.length).toBeGreaterThan(2_097_152)
  // TGI's details repeat the tokens of what is missing.
  expect(text).not.toContain(name === 'tgi' ? 'generated_text' : 'capital')
}

const check = (name: WireName, fault: Fault, stream: boolean): Promise<void> => {
  switch (fault.effect) {
    case 'harmless':
    case 'slow':
      return whole(name, fault, stream)
    case 'refused':
    case 'rejected':
      return refused(name, fault, stream)
    case 'breaks':
      return breaks(name, fault)
    default:
      return garbage(name, fault, stream)
  }
}

/** Of the connection alone, and tested with OpenAI's. */
const NO_WIRE = new Set(['unreachable', 'hangs', 'modifier'])
/** Never ends by itself. */
const ENDLESS = new Set(['stall_after'])
const HALF_JSON = new Set(['truncated_json'])

const CASES = NAMES.flatMap((name) =>
  FAULTS.filter(({ effect, name: fault }) => !NO_WIRE.has(effect) && !ENDLESS.has(fault)).flatMap((fault) =>
    fault.on
      .filter((kind) => fault.effect !== 'breaks' || kind === 'stream')
      .map((kind): [string, WireName, string, Fault] => [fault.name, name, kind, fault]),
  ),
)

describe('faults on all wires', () => {
  it.concurrent.each(CASES)('%s on %s (%s)', async (_, name, kind, fault) => {
    if (SENSELESS[name]?.includes(fault.name) === true) {
      const { response, text } = await send(name, fault.name, kind === 'stream')
      expect(response.status).toBe(400)
      return expect(messageOf(name, text)).toContain(`makes no sense on the ${name} wire`)
    }
    if (!HALF_JSON.has(fault.name)) return check(name, fault, kind === 'stream')
    const { text } = await send(name, fault.name, false)
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError)
  })

  it.each(NAMES)('stall_after on %s', async (name) => {
    const { path, body } = requestFor(name, asked, true)
    const response = await fetch(origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-sim-fault': 'stall_after=2' },
      body,
    })
    const reader = response.body?.getReader()
    let text = ''
    while (!text.includes('capital')) text += Buffer.from((await reader?.read())?.value ?? []).toString()
    expect(text).not.toContain(END[name])
    await reader?.cancel()
  })
})
