import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Message } from '../../contracts/canonical.ts'
import {
  asked,
  expectSame,
  expectSurvival,
  expectTable,
  pieces,
  recordAnswer,
  Recording,
  recordStream,
  TARGET,
  type Told,
  word,
  written,
} from '../../../test/support/wire-checks.ts'
import { GatewayError } from '../../core/errors.ts'
import { ollamaChatWire as wire } from './wire.ts'

const WHEN = '2026-01-01T00:00:00Z'
const COUNTS = { prompt_eval_count: 6, eval_count: 4 }

const reply = fc.record({
  thoughts: fc.option(pieces(written)),
  text: fc.option(pieces(written)),
  calls: fc.array(fc.record({ name: word, args: fc.dictionary(word, fc.integer()), id: fc.option(word) }), {
    maxLength: 3,
  }),
  reason: fc.constantFrom('stop', 'length'),
})
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never

const callsOf = ({ calls }: Reply): JsonObject[] =>
  calls.map(({ name, args, id }) => ({ ...(id === null ? {} : { id }), function: { name, arguments: args } }))
const line = (message: JsonObject, extra: JsonObject = {}): JsonObject => ({
  model: 'm',
  created_at: WHEN,
  message: { role: 'assistant', content: '', ...message },
  done: false,
  ...extra,
})
const wholeOf = (one: Reply): JsonObject =>
  line(
    { content: one.text?.join('') ?? '', thinking: one.thoughts?.join('') ?? '', tool_calls: callsOf(one) },
    { done: true, done_reason: one.reason, ...COUNTS },
  )
function eventsOf(one: Reply): Told[] {
  const lines: JsonObject[] = []
  for (const thinking of one.thoughts ?? []) lines.push(line({ thinking }))
  for (const content of one.text ?? []) lines.push(line({ content }))
  for (const call of callsOf(one)) lines.push(line({ tool_calls: [call] }))
  lines.push(line({}, { done: true, done_reason: one.reason, ...COUNTS }))
  return lines.map((each): Told => ['', each])
}

const SAMPLE: Reply = {
  thoughts: ['h', 'm'],
  text: ['Hel', 'lo'],
  calls: [
    { name: 'get', args: { a: 1 }, id: null },
    { name: 'get', args: { a: 1 }, id: null },
  ],
  reason: 'stop',
}

const body = (parts: Parameters<typeof asked>[0], model = 'qwen3'): JsonObject =>
  wire.request(asked(parts), { ...TARGET, model, type: 'ollama' })

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(fc.property(reply, (one) => void expectSame(wire, wholeOf(one), eventsOf(one))))
  })

  it('tell everything, in order', () => {
    const { entries, used } = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    expect(entries.map((entry) => entry[0])).toEqual(['start', 'reasoning', 'text', 'call', 'call', 'finish'])
    expect(entries.at(-1)).toEqual(['finish', 0, 'tool_calls', ''])
    expect(used).toMatchObject({ inputTokens: 6, outputTokens: 4 })
    const ids = entries.filter((entry) => entry[0] === 'call').map((entry) => entry[3])
    expect(new Set(ids).size).toBe(2)
    // Those of another answer are others.
    const later = recordAnswer(wire, { ...wholeOf(SAMPLE), created_at: '2026-01-01T00:00:01Z' })
    expect(later.entries.some((entry) => entry[0] === 'call' && ids.includes(entry[3]))).toBe(false)
  })

  it('are cut without their last line, and errors are errors', () => {
    expect(recordStream(wire, eventsOf(SAMPLE).slice(0, -1), false).ended).toBe(0)
    const decoder = wire.stream(new Recording())
    expect(decoder.event('', '{"error":"no memory"}')).toBe('error')
    expect(decoder.fault).toEqual({ error: 'no memory' })
    expect(wire.answer({ error: 'no' }, new Recording())).toBe('error')
    expect(wire.answer({ choices: [] }, new Recording())).toBe('invalid')
  })

  it('tell probabilities as the chat API has them', () => {
    const told = recordAnswer(wire, {
      ...wholeOf(SAMPLE),
      logprobs: [{ token: 'a', logprob: -1, bytes: [97], top_logprobs: [] }],
    })
    expect(told.entries).toContainEqual(['logprobs', 0, [{ token: 'a', logprob: -1, bytes: [97], top_logprobs: [] }]])
  })

  it('survive whatever comes', () => expectSurvival(wire, [eventsOf(SAMPLE)], [wholeOf(SAMPLE)]))
})

describe('requests', () => {
  it('have a complete table', () => expectTable(wire))

  it('write messages', () => {
    const image = { type: 'image' as const, source: { kind: 'base64' as const, mime: 'image/png', data: 'AA==' } }
    const messages: Message[] = [
      { role: 'developer', parts: [{ type: 'text', text: 'S' }] },
      { role: 'user', parts: [{ type: 'text', text: 'u' }, image] },
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', text: 'hm' },
          { type: 'tool_call', id: 'c', name: 'f', arguments: '{"x":1}' },
        ],
      },
      { role: 'tool', parts: [{ type: 'tool_result', id: 'c', content: [{ type: 'text', text: '7' }] }] },
    ]
    expect(body({ messages })['messages']).toEqual([
      { role: 'system', content: 'S' },
      { role: 'user', content: 'u', images: ['AA=='] },
      {
        role: 'assistant',
        content: '',
        thinking: 'hm',
        tool_calls: [{ id: 'c', function: { name: 'f', arguments: { x: 1 } } }],
      },
      { role: 'tool', content: '7', tool_call_id: 'c', tool_name: 'f' },
    ])
    const byUrl: Message = {
      role: 'user',
      parts: [{ type: 'image', source: { kind: 'url', url: 'https://a/b.png', mime: null } }],
    }
    expect(() => body({ messages: [byUrl] })).toThrow(GatewayError)
  })

  it('write settings', () => {
    const sent = body({
      format: { type: 'schema', name: 'o', schema: { type: 'object' } },
      maxTokens: 5,
      repetitionPenalty: 1.1,
      stop: ['x'],
      reasoning: { effort: 'high', budget: null, visible: null },
    })
    expect(sent).toMatchObject({
      stream: false,
      think: true,
      format: { type: 'object' },
      options: { num_predict: 5, repeat_penalty: 1.1, stop: ['x'] },
    })
    expect(body({ reasoning: { effort: 'high', budget: null, visible: null } }, 'gpt-oss:20b')['think']).toBe('high')
    expect(body({ reasoning: { effort: null, budget: 0, visible: null } })['think']).toBe(false)
  })
})
