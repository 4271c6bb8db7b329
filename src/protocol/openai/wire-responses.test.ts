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
import { openaiResponsesWire as wire } from './wire-responses.ts'

const USAGE = { input_tokens: 9, output_tokens: 5, total_tokens: 14, output_tokens_details: { reasoning_tokens: 2 } }

const item = fc.oneof(
  fc.record({
    kind: fc.constant('message' as const),
    pieces: pieces(written),
    refusal: fc.boolean(),
    cited: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('reasoning' as const),
    summary: fc.array(pieces(written), { maxLength: 3 }),
    raw: fc.boolean(),
    encrypted: fc.option(written),
  }),
  fc.record({ kind: fc.constant('call' as const), name: word, pieces: pieces(argumentsText), custom: fc.boolean() }),
  fc.record({ kind: fc.constant('search' as const) }),
)
const reply = fc.record({
  items: fc.array(item, { maxLength: 5 }),
  why: fc.constantFrom('', 'max_output_tokens', 'content_filter'),
})
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never

const ANNOTATION = { type: 'url_citation', url: 'https://a.example', title: 'A', start_index: 0, end_index: 1 }

function itemOf(one: Reply['items'][number], i: number): JsonObject {
  switch (one.kind) {
    case 'message': {
      const text = one.pieces.join('')
      const part = one.refusal
        ? { type: 'refusal', refusal: text }
        : { type: 'output_text', text, annotations: one.cited ? [ANNOTATION] : [] }
      return { type: 'message', id: `m${i}`, role: 'assistant', status: 'completed', content: [part] }
    }
    case 'reasoning': {
      const texts = one.summary.map((each) => each.join(''))
      const blocks = texts.map((text) => ({ type: one.raw ? 'reasoning_text' : 'summary_text', text }))
      return {
        type: 'reasoning',
        id: `rs_${i}`,
        summary: [],
        [one.raw ? 'content' : 'summary']: blocks,
        encrypted_content: one.encrypted,
      }
    }
    case 'call':
      return one.custom
        ? { type: 'custom_tool_call', id: `i${i}`, call_id: `c${i}`, name: one.name, input: one.pieces.join('') }
        : { type: 'function_call', id: `i${i}`, call_id: `c${i}`, name: one.name, arguments: one.pieces.join('') }
    default:
      return { type: 'web_search_call', id: `w${i}`, status: 'completed' }
  }
}
const wholeOf = ({ items, why }: Reply): JsonObject => ({
  id: 'resp_1',
  object: 'response',
  model: 'm',
  error: null,
  status: why === '' ? 'completed' : 'incomplete',
  incomplete_details: why === '' ? null : { reason: why },
  output: items.map(itemOf),
  usage: USAGE,
})
function eventsOf(reply: Reply): Told[] {
  const events: JsonObject[] = [{ type: 'response.created', response: { id: 'resp_1', model: 'm', output: [] } }]
  reply.items.forEach((one, output_index) => {
    const add = (type: string, fields: JsonObject): void =>
      void events.push({ type: `response.${type}`, output_index, ...fields })
    const done = itemOf(one, output_index)
    add('output_item.added', {
      item: { ...done, arguments: '', input: '', content: [], summary: [], encrypted_content: '' },
    })
    if (one.kind === 'message') {
      for (const delta of one.pieces)
        add(one.refusal ? 'refusal.delta' : 'output_text.delta', { content_index: 0, delta, logprobs: [] })
      if (one.cited && !one.refusal) add('output_text.annotation.added', { annotation: ANNOTATION })
    } else if (one.kind === 'reasoning')
      one.summary.forEach((each, i) => {
        for (const delta of each)
          if (one.raw) add('reasoning_text.delta', { content_index: i, delta })
          else add('reasoning_summary_text.delta', { summary_index: i, delta })
      })
    else if (one.kind === 'call')
      for (const delta of one.pieces)
        add(one.custom ? 'custom_tool_call_input.delta' : 'function_call_arguments.delta', { delta })
    add('output_item.done', { item: done })
  })
  events.push({ type: reply.why === '' ? 'response.completed' : 'response.incomplete', response: wholeOf(reply) })
  return events.map((event): Told => [event['type'] as string, event])
}

const SAMPLE: Reply = {
  items: [
    { kind: 'reasoning', summary: [['h', 'm'], ['so']], raw: false, encrypted: 'ZW5j+/=' },
    { kind: 'search' },
    { kind: 'message', pieces: ['Hel', 'lo'], refusal: false, cited: true },
    { kind: 'call', name: 'get', pieces: ['{ "a"', ':1}'], custom: false },
    { kind: 'call', name: 'run', pieces: ['free', ' text'], custom: true },
  ],
  why: '',
}

const body = (parts: Parameters<typeof asked>[0], model = 'gpt-4.1'): JsonObject =>
  wire.request(asked(parts), { ...TARGET, model, type: 'openai' })

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(fc.property(reply, (one) => void expectSame(wire, wholeOf(one), eventsOf(one))))
  })

  it('tell everything, in order', () => {
    const { entries, used } = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    expect(entries.slice(0, 4)).toEqual([
      ['start', 'resp_1', 'm'],
      ['reasoning', 0, 'hm\n\nso'],
      ['signature', 0, { by: 'openai.responses', value: 'ZW5j+/=' }, 'rs_0'],
      ['text', 0, 'Hello'],
    ])
    expect(entries.slice(5)).toEqual([
      ['call', 0, 0, 'c3', 'get', false, '{ "a":1}'],
      ['call', 0, 1, 'c4', 'run', true, 'free text'],
      ['finish', 0, 'tool_calls', ''],
    ])
    expect(used).toMatchObject({ inputTokens: 9, outputTokens: 5, reasoningTokens: 2 })
  })

  it('tell items that came without pieces', () => {
    const events = eventsOf(SAMPLE)
    const done = events.filter(([name]) => name !== 'response.output_text.annotation.added' && !name.endsWith('.delta'))
    expect(recordStream(wire, done).entries).toEqual(recordAnswer(wire, wholeOf(SAMPLE)).entries)
    expect(recordStream(wire, [events.at(-1)!]).entries).toEqual(recordAnswer(wire, wholeOf(SAMPLE)).entries)
  })

  it('say why they ended, and errors are errors', () => {
    const cut: Reply = { ...SAMPLE, items: [], why: 'max_output_tokens' }
    expect(expectSame(wire, wholeOf(cut), eventsOf(cut)).entries.at(-1)).toEqual(['finish', 0, 'length', ''])
    expect(recordStream(wire, eventsOf(SAMPLE).slice(0, -1), false).ended).toBe(0)
    const decoder = wire.stream(new Recording())
    const failed = { type: 'response.failed', response: { error: { code: 'server_error', message: 'no' } } }
    expect(decoder.event('', JSON.stringify(failed))).toBe('error')
    expect(decoder.fault).toEqual({ code: 'server_error', message: 'no' })
    expect(wire.answer({ status: 'failed', output: [], error: { message: 'no' } }, new Recording())).toBe('error')
    expect(wire.answer({ choices: [] }, new Recording())).toBe('invalid')
  })

  it('survive a number that is an object', () => {
    const decoder = wire.stream(new Recording())
    const type = 'response.reasoning_summary_text.delta'
    const event = { type, output_index: 0, summary_index: { toString: '' }, delta: 'h' }
    expect(decoder.event(type, JSON.stringify(event))).toBe('go')
  })

  it('survive whatever comes', () => expectSurvival(wire, [eventsOf(SAMPLE)], [wholeOf(SAMPLE)]))
})

describe('requests', () => {
  it('have a complete table', () => expectTable(wire))

  it('return encrypted reasoning byte for byte, with its id and at its place', () => {
    fc.assert(
      fc.property(reply, (one) => {
        const back = body({ messages: [recordAnswer(wire, wholeOf(one)).message()] })['input'] as JsonObject[]
        const of = (items: JsonObject[]): unknown[] =>
          items
            .filter(
              (each) =>
                each['type'] !== 'web_search_call' &&
                (each['type'] !== 'reasoning' || each['encrypted_content'] !== null),
            )
            .map((each) => (each['type'] === 'reasoning' ? [each['id'], each['encrypted_content']] : [each['call_id']]))
        const joined = (items: unknown[]): unknown[] =>
          // Messages in a row become one.
          items.filter(
            (each, i) => i === 0 || JSON.stringify(each) !== '[null]' || JSON.stringify(items[i - 1]) !== '[null]',
          )
        expect(joined(of(back))).toEqual(joined(of(wholeOf(one)['output'] as JsonObject[])))
      }),
    )
  })

  it('write items', () => {
    const messages: Message[] = [
      { role: 'developer', parts: [{ type: 'text', text: 'S' }] },
      {
        role: 'user',
        parts: [
          { type: 'text', text: 'u' },
          { type: 'image', source: { kind: 'base64', mime: 'image/png', data: 'AA==' } },
        ],
      },
      {
        role: 'assistant',
        parts: [
          { type: 'text', text: 'a' },
          { type: 'tool_call', id: 'c', name: 'f', arguments: '{ }' },
        ],
      },
      { role: 'tool', parts: [{ type: 'tool_result', id: 'c', content: [{ type: 'text', text: '7' }] }] },
    ]
    expect(body({ messages })).toEqual({
      model: 'gpt-4.1',
      store: false,
      input: [
        { role: 'developer', content: 'S' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'u' },
            { type: 'input_image', detail: 'auto', image_url: 'data:image/png;base64,AA==' },
          ],
        },
        { role: 'assistant', content: 'a' },
        { type: 'function_call', call_id: 'c', name: 'f', arguments: '{ }' },
        { type: 'function_call_output', call_id: 'c', output: '7' },
      ],
    })
  })

  it('write settings, tools and formats', () => {
    const schema = { type: 'object' }
    const sent = body({
      tools: [
        { name: 'a', schema },
        {
          name: 'b',
          schema: null,
          custom: { format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'x' } } },
        },
      ],
      toolChoice: { mode: 'allowed', names: ['b'], required: false },
      format: { type: 'schema', name: 'o', schema },
      reasoning: { effort: 'high', budget: null, visible: true },
      maxTokens: 3,
      verbosity: 'low',
      logprobs: true,
      topLogprobs: 2,
      store: true,
    })
    expect(sent).toMatchObject({
      tools: [
        { type: 'function', name: 'a', parameters: schema, strict: false },
        { type: 'custom', name: 'b', format: { type: 'grammar', syntax: 'lark', definition: 'x' } },
      ],
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'custom', name: 'b' }] },
      text: { verbosity: 'low', format: { type: 'json_schema', name: 'o', schema, strict: false } },
      reasoning: { effort: 'high', summary: 'auto' },
      include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
      max_output_tokens: 16,
      top_logprobs: 2,
      store: true,
    })
    expect(body({}, 'gpt-5.1')['include']).toEqual(['reasoning.encrypted_content'])
    expect(body({}, 'gpt-4.1')['include']).toBeUndefined()
  })
})
