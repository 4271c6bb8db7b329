import type { ChatRequest, JsonObject, Message, Opaque, Part } from '../../src/contracts/canonical.ts'
import type { AnswerSink, Wire, WireTarget } from '../../src/contracts/dialect.ts'
import type { Usage } from '../../src/contracts/usage.ts'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import { FEATURES } from '../../src/protocol/canonical/features.ts'

/** Takes down what a wire tells. Pieces of one block are joined, so that a stream and a whole answer read alike. */
export class Recording implements AnswerSink {
  readonly entries: (readonly [string, ...unknown[]])[] = []
  used: Usage | null = null
  ended = 0
  calls = 0

  #add(...entry: [string, ...unknown[]]): void {
    this.calls++
    if (this.ended > 0) throw new Error(`told after the end: ${entry[0]}`)
    if (this.entries.length === 0 && entry[0] !== 'start') throw new Error(`${entry[0]} before start`)
    this.entries.push(entry)
  }
  #piece(what: string, choice: number, text: string): void {
    const last = this.entries.at(-1)
    if (last?.[0] === what && last[1] === choice)
      this.entries[this.entries.length - 1] = [what, choice, String(last[2]) + text]
    else this.#add(what, choice, text)
  }

  start(id: string, model: string): void {
    this.#add('start', id, model)
  }
  text(choice: number, text: string): void {
    this.#piece('text', choice, text)
  }
  reasoning(choice: number, text: string): void {
    this.#piece('reasoning', choice, text)
  }
  signature(choice: number, signature: Opaque, id: string): void {
    this.#add('signature', choice, signature, id)
  }
  redacted(choice: number, data: Opaque): void {
    this.#add('redacted', choice, data)
  }
  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (id === '') throw new Error('a call without an id')
    if (this.entries.some((entry) => entry[0] === 'call' && entry[1] === choice && entry[2] === index))
      throw new Error(`call ${index} began twice`)
    this.#add('call', choice, index, id, name, custom, '')
  }
  toolArguments(choice: number, index: number, piece: string): void {
    const at = this.entries.findIndex((entry) => entry[0] === 'call' && entry[1] === choice && entry[2] === index)
    if (at < 0) throw new Error(`arguments of call ${index}, which has not begun`)
    const call = this.entries[at]!
    this.entries[at] = [...(call.slice(0, 6) as unknown as [string]), String(call[6]) + piece]
  }
  toolSignature(choice: number, index: number, signature: Opaque): void {
    this.#add('call signature', choice, index, signature)
  }
  refusal(choice: number, text: string): void {
    this.#piece('refusal', choice, text)
  }
  citation(choice: number, citation: unknown): void {
    this.#add('citation', choice, citation)
  }
  logprobs(choice: number, entries: readonly unknown[]): void {
    const last = this.entries.at(-1)
    if (last?.[0] === 'logprobs' && last[1] === choice)
      this.entries[this.entries.length - 1] = ['logprobs', choice, [...(last[2] as unknown[]), ...entries]]
    else this.#add('logprobs', choice, [...entries])
  }
  finish(choice: number, reason: string, sequence: string): void {
    this.#add('finish', choice, reason, sequence)
  }
  usage(usage: Usage): void {
    this.used = usage
  }
  end(): void {
    this.ended++
  }

  /** The first answer as a message of the assistant, as a client would send it back. */
  message(): Message {
    const parts: Part[] = []
    for (const entry of this.entries) {
      if (entry[1] !== 0) continue
      const last = parts.at(-1)
      if (entry[0] === 'text') parts.push({ type: 'text', text: entry[2] as string })
      else if (entry[0] === 'refusal') parts.push({ type: 'refusal', text: entry[2] as string })
      else if (entry[0] === 'reasoning') parts.push({ type: 'reasoning', text: entry[2] as string })
      else if (entry[0] === 'redacted') parts.push({ type: 'reasoning', text: '', redacted: entry[2] as Opaque })
      else if (entry[0] === 'signature') {
        const id = entry[3] === '' ? {} : { id: entry[3] as string }
        const open = last?.type === 'reasoning' && last.signature === undefined && last.redacted === undefined
        const text = open ? last.text : ''
        if (open) parts.pop()
        parts.push({ type: 'reasoning', text, signature: entry[2] as Opaque, ...id })
      } else if (entry[0] === 'call')
        parts.push({
          type: 'tool_call',
          id: entry[3] as string,
          name: entry[4] as string,
          arguments: entry[6] as string,
          ...(entry[5] === true ? { custom: true } : {}),
        })
      else if (entry[0] === 'call signature') {
        // By its place: a backend may give two calls one id.
        let left = entry[2] as number
        const at = parts.findIndex((part) => part.type === 'tool_call' && left-- === 0)
        parts[at] = { ...(parts[at] as Part & { type: 'tool_call' }), signature: entry[3] as Opaque }
      }
    }
    return { role: 'assistant', parts }
  }
}

/** One event of a stream; data: what is to be written as JSON, or a text as it is. */
export type Told = readonly [name: string, data: unknown]

const textOf = (data: unknown): string => (typeof data === 'string' ? data : JSON.stringify(data))

export function recordAnswer(wire: Wire, body: unknown): Recording {
  const recording = new Recording()
  expect(wire.answer(body as JsonObject, recording)).toBe('ok')
  expect(recording.ended).toBe(1)
  return recording
}

/** How the stream ended is in `verdicts`. */
export function recordStream(wire: Wire, events: readonly Told[], ended = true): Recording & { verdicts?: string[] } {
  const recording: Recording & { verdicts?: string[] } = new Recording()
  const decoder = wire.stream(recording)
  recording.verdicts = events.map(([name, data]) => decoder.event(name, textOf(data)))
  if (ended) {
    if (recording.ended === 0) expect(decoder.close()).toBe(true)
    expect(recording.ended).toBe(1)
  }
  return recording
}

export function expectSame(wire: Wire, body: unknown, events: readonly Told[]): Recording {
  const whole = recordAnswer(wire, body)
  const pieces = recordStream(wire, events)
  expect(pieces.entries).toEqual(whole.entries)
  expect(pieces.used).toEqual(whole.used)
  return whole
}

export const TARGET: WireTarget = { model: 'model-1', type: 'openai_compatible', maxOutputTokens: 0 }

export const asked = (parts: Partial<ChatRequest> = {}): ChatRequest => ({
  model: 'alias',
  messages: [{ role: 'user', parts: [{ type: 'text', text: 'Hi' }] }],
  stream: false,
  ...parts,
})

/** Every row is there, and every note is a sentence. */
export function expectTable(wire: Wire): void {
  expect(Object.keys(wire.carries).toSorted()).toEqual(Object.keys(FEATURES).toSorted())
  for (const support of Object.values(wire.carries))
    if (typeof support === 'object') expect(support.mapped).toMatch(/^[A-Z`].*\.$/)
}

/** A piece of the good streams with a field exchanged, events left out, repeated and swapped. */
function mutated(streams: readonly (readonly Told[])[]): fc.Arbitrary<readonly Told[]> {
  const value = fc.jsonValue({ maxDepth: 3 })
  return fc
    .record({
      stream: fc.constantFrom(...streams),
      order: fc.array(fc.nat(30), { maxLength: 25 }),
      change: fc.option(fc.record({ at: fc.nat(30), path: fc.array(fc.nat(6), { maxLength: 5 }), value })),
      cut: fc.option(fc.nat(200)),
    })
    .map(({ stream, order, change, cut }) => {
      const events: Told[] = order.length > 0 ? order.map((at) => stream[at % stream.length]!) : [...stream]
      const at = change === null ? 0 : change.at % events.length
      if (change !== null && typeof events[at]![1] !== 'string')
        events[at] = [events[at]![0], exchanged(structuredClone(events[at]![1]), change.path, change.value)]
      if (cut !== null) events.push([events[at]![0], textOf(events[at]![1]).slice(0, cut)])
      return events
    })
}

function exchanged(target: unknown, path: readonly number[], value: unknown): unknown {
  if (path.length === 0 || typeof target !== 'object' || target === null) return value
  const keys = Object.keys(target)
  if (keys.length === 0) return value
  const key = keys[path[0]! % keys.length]!
  const fields = target as Record<string, unknown>
  fields[key] = exchanged(fields[key], path.slice(1), value)
  return target
}

/** Nothing but SyntaxError comes out of event(), whatever goes in; answer() throws nothing at all. */
export function expectSurvival(wire: Wire, streams: readonly (readonly Told[])[], answers: readonly unknown[]): void {
  const names = [...new Set(streams.flat().map(([name]) => name))]
  const noise = fc.array(fc.tuple(fc.constantFrom('', 'x', ...names), fc.oneof(fc.json(), fc.string())), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(fc.oneof(noise, mutated(streams)), (events) => {
      const recording = new Recording()
      const decoder = wire.stream(recording)
      for (const [name, data] of events)
        try {
          if (decoder.event(name, textOf(data)) !== 'go') break
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
          break
        }
      decoder.close()
      JSON.stringify(decoder.fault)
      const bytes = events.reduce((sum, [, data]) => sum + textOf(data).length, 100)
      expect(recording.calls).toBeLessThan(bytes)
    }),
    { numRuns: 300 },
  )
  const bodies = fc.oneof(
    fc.dictionary(fc.string(), fc.jsonValue()),
    fc
      .record({ body: fc.constantFrom(...answers), path: fc.array(fc.nat(6), { maxLength: 6 }), value: fc.jsonValue() })
      .map(({ body, path, value }) => exchanged(structuredClone(body), path, value)),
  )
  fc.assert(
    fc.property(bodies, (body) => {
      if (typeof body !== 'object' || body === null || Array.isArray(body)) return
      expect(['ok', 'error', 'invalid']).toContain(wire.answer(body as JsonObject, new Recording()))
    }),
    { numRuns: 200 },
  )
}

/** A text in pieces that split it anywhere; never empty pieces. */
export const pieces = (text: fc.Arbitrary<string>): fc.Arbitrary<readonly string[]> =>
  fc.tuple(text, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 })).map(([whole, sizes]) => {
    const cut: string[] = []
    for (let at = 0, i = 0; at < whole.length; i++) {
      cut.push(whole.slice(at, at + sizes[i % sizes.length]!))
      at += sizes[i % sizes.length]!
    }
    return cut
  })

/** What the models write: any Unicode, never empty. */
export const written = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
export const word = fc.stringMatching(/^[a-z][a-z0-9_]{0,12}$/)
/** As models write arguments: also with spaces that JSON.stringify would not write. */
export const argumentsText = fc
  .dictionary(word, fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)), { maxKeys: 3 })
  .map((value) => JSON.stringify(value))
