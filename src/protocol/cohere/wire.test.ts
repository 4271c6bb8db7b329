import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Message } from '../../contracts/canonical.ts'
import {
  argumentsText,
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
import { cohereChatWire as wire } from './wire.ts'

const USAGE = { billed_units: { input_tokens: 5, output_tokens: 3 }, tokens: { input_tokens: 90, output_tokens: 4 } }
const CITED = {
  start: 0,
  end: 2,
  text: 'He',
  sources: [{ type: 'document', id: 'd', document: { url: 'https://a.example', title: 'A' } }],
}

const reply = fc.record({
  plan: fc.option(pieces(written)),
  thoughts: fc.option(pieces(written)),
  text: fc.option(pieces(written)),
  cited: fc.boolean(),
  calls: fc.array(fc.record({ name: word, pieces: pieces(argumentsText) }), { maxLength: 3 }),
  reason: fc.constantFrom('COMPLETE', 'MAX_TOKENS', 'STOP_SEQUENCE', 'TOOL_CALL', 'TIMEOUT'),
})
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never

function wholeOf({ plan, thoughts, text, cited, calls, reason }: Reply): JsonObject {
  const content: JsonObject[] = []
  if (thoughts !== null) content.push({ type: 'thinking', thinking: thoughts.join('') })
  if (text !== null) content.push({ type: 'text', text: text.join('') })
  const message: JsonObject = { role: 'assistant', content, tool_plan: plan?.join('') ?? null }
  if (cited) message['citations'] = [CITED]
  if (calls.length > 0)
    message['tool_calls'] = calls.map((call, i) => ({
      id: `c${i}`,
      type: 'function',
      function: { name: call.name, arguments: call.pieces.join('') },
    }))
  return { id: 'a1', finish_reason: reason, message, usage: USAGE }
}
function eventsOf({ plan, thoughts, text, cited, calls, reason }: Reply): Told[] {
  const events: JsonObject[] = [{ type: 'message-start', id: 'a1', delta: { message: { role: 'assistant' } } }]
  const add = (type: string, message: JsonObject): void => void events.push({ type, index: 0, delta: { message } })
  for (const piece of plan ?? []) add('tool-plan-delta', { tool_plan: piece })
  const block = (field: string, list: readonly string[] | null): void => {
    if (list === null) return
    add('content-start', { content: { type: field, [field]: '' } })
    for (const piece of list) add('content-delta', { content: { [field]: piece } })
    add('content-end', {})
  }
  block('thinking', thoughts)
  block('text', text)
  if (cited) add('citation-start', { citations: CITED })
  calls.forEach((call, i) => {
    add('tool-call-start', {
      tool_calls: { id: `c${i}`, type: 'function', function: { name: call.name, arguments: '' } },
    })
    if (call.pieces.join('') !== '{}')
      for (const piece of call.pieces) add('tool-call-delta', { tool_calls: { function: { arguments: piece } } })
    add('tool-call-end', {})
  })
  events.push({ type: 'message-end', delta: { finish_reason: reason, usage: USAGE } })
  return events.map((event): Told => [event['type'] as string, event])
}

const SAMPLE: Reply = {
  plan: ['I will ', 'look'],
  thoughts: null,
  text: ['Hel', 'lo'],
  cited: true,
  calls: [{ name: 'get', pieces: ['{"a', '":1}'] }],
  reason: 'TOOL_CALL',
}

const body = (parts: Parameters<typeof asked>[0], model = 'command-a'): JsonObject =>
  wire.request(asked(parts), { ...TARGET, model, type: 'cohere' })

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(fc.property(reply, (one) => void expectSame(wire, wholeOf(one), eventsOf(one))))
  })

  it('tell everything, in order', () => {
    const { entries, used } = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    expect(entries).toEqual([
      ['start', 'a1', ''],
      ['reasoning', 0, 'I will look'],
      ['text', 0, 'Hello'],
      [
        'citation',
        0,
        { url: 'https://a.example', title: 'A', from: 0, to: 2, native: { by: 'cohere.chat', value: CITED } },
      ],
      ['call', 0, 0, 'c0', 'get', false, '{"a":1}'],
      ['finish', 0, 'tool_calls', ''],
    ])
    expect(used).toMatchObject({ inputTokens: 5, outputTokens: 3 })
  })

  it('tell how probable their pieces were, of several tokens that of all', () => {
    const items = [
      { text: 'He', token_ids: [1], logprobs: [-0.5] },
      { text: 'llo', token_ids: [2, 3], logprobs: [-1, -2] },
    ]
    const message = { role: 'assistant', content: [{ type: 'text', text: 'Hello' }] }
    const piece = (item: JsonObject): Told => [
      'content-delta',
      { type: 'content-delta', delta: { message: { content: { text: item['text']! } } }, logprobs: item },
    ]
    const told = [
      { token: 'He', logprob: -0.5, bytes: null, top_logprobs: [] },
      { token: 'llo', logprob: -3, bytes: null, top_logprobs: [] },
    ]
    const ofAll = ({ entries }: Recording) => entries.flatMap(([what, , list]) => (what === 'logprobs' ? list : []))
    const whole = recordAnswer(wire, { id: 'a', finish_reason: 'COMPLETE', message, logprobs: items })
    expect(ofAll(whole)).toEqual(told)
    const end: Told = ['message-end', { type: 'message-end', delta: { finish_reason: 'COMPLETE' } }]
    expect(ofAll(recordStream(wire, [...items.map(piece), end]))).toEqual(told)
  })

  it('are cut without their last event, and errors are errors', () => {
    expect(recordStream(wire, eventsOf(SAMPLE).slice(0, -1), false).ended).toBe(0)
    const decoder = wire.stream(new Recording())
    const failed = { type: 'message-end', delta: { finish_reason: 'ERROR', error: 'broken' } }
    expect(decoder.event('', JSON.stringify(failed))).toBe('error')
    expect(decoder.fault).toEqual({ message: 'broken', type: 'ERROR' })
    expect(wire.answer({ message: 'no' }, new Recording())).toBe('error')
    expect(wire.answer({ choices: [] }, new Recording())).toBe('invalid')
  })

  it('survive whatever comes', () => expectSurvival(wire, [eventsOf(SAMPLE)], [wholeOf(SAMPLE)]))
})

describe('requests', () => {
  it('have a complete table', () => expectTable(wire))

  it('write messages', () => {
    const messages: Message[] = [
      { role: 'developer', parts: [{ type: 'text', text: 'S' }] },
      {
        role: 'user',
        parts: [
          { type: 'text', text: 'u' },
          { type: 'image', source: { kind: 'url', url: 'https://a/b.png', mime: null } },
        ],
      },
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', text: 'hm' },
          { type: 'tool_call', id: 'c', name: 'f', arguments: '{ }' },
        ],
      },
      { role: 'tool', parts: [{ type: 'tool_result', id: 'c', content: [{ type: 'text', text: '7' }] }] },
    ]
    const calls = [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{ }' } }]
    expect(body({ messages })['messages']).toEqual([
      { role: 'system', content: 'S' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'u' },
          { type: 'image_url', image_url: { url: 'https://a/b.png' } },
        ],
      },
      { role: 'assistant', tool_calls: calls, tool_plan: 'hm' },
      { role: 'tool', tool_call_id: 'c', content: '7' },
    ])
    expect((body({ messages }, 'command-a-reasoning')['messages'] as JsonObject[])[2]).toEqual({
      role: 'assistant',
      content: [{ type: 'thinking', thinking: 'hm' }],
      tool_calls: calls,
    })
  })

  it('write settings', () => {
    const tools = [
      { name: 'a', schema: null, strict: true },
      { name: 'b', schema: null },
    ]
    const sent = body({
      tools,
      toolChoice: { mode: 'tool', name: 'a' },
      topP: 1,
      frequencyPenalty: -1,
      stop: ['x'],
      reasoning: { effort: 'none', budget: null, visible: null },
      format: { type: 'schema', name: 'o', schema: { type: 'object' } },
    })
    expect(sent).toEqual({
      model: 'command-a',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: false,
      tools: [{ type: 'function', function: { name: 'a', parameters: { type: 'object', properties: {} } } }],
      strict_tools: true,
      tool_choice: 'REQUIRED',
      thinking: { type: 'disabled' },
      response_format: { type: 'json_object', json_schema: { type: 'object' } },
      p: 0.99,
      frequency_penalty: 0,
      stop_sequences: ['x'],
    })
    expect(body({ reasoning: { effort: null, budget: 700, visible: null } })['thinking']).toEqual({
      type: 'enabled',
      token_budget: 700,
    })
    expect(recordAnswer(wire, wholeOf(SAMPLE)).message().parts.length).toBe(3)
  })
})
