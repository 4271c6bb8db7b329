import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json, JsonObject, Part } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  USED,
  bodyOf,
  contents,
  contextOf,
  dataOf,
  eventsOf,
  expectOnlyClientErrors,
  partsOf,
  streamOf,
  whole,
  wildRequest,
  withObjects,
} from '../../../test/support/client-dialects.ts'
import { readUsage } from '../usage.ts'
import { messagesClient } from './client-messages.ts'

const FULL: JsonObject = {
  model: 'm',
  max_tokens: 1024,
  system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
        { type: 'image', source: { type: 'url', url: 'https://x.test/a.png' } },
        { type: 'image', source: { type: 'file', file_id: 'file_1' } },
        {
          type: 'document',
          source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERg==' },
          title: 'a.pdf',
        },
        {
          type: 'document',
          source: { type: 'text', media_type: 'text/plain', data: 'plain' },
          title: 'note',
          context: 'old',
        },
        { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'chunk' }] } },
        { type: 'search_result', source: 'https://x.test', title: 'X', content: [{ type: 'text', text: 'found' }] },
        { type: 'container_upload', file_id: 'f' },
      ],
    },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature: 'sig==' },
        { type: 'redacted_thinking', data: 'xyz' },
        { type: 'text', text: 'I will', citations: [{ type: 'char_location', cited_text: 'q', document_title: 'D' }] },
        { type: 'thinking', thinking: '', signature: 'hdl2.ttoolu_1!hdl1.gemini.generate!QUJD' },
        { type: 'tool_use', id: 'toolu_1', name: 'f', input: { a: 1 } },
        { type: 'server_tool_use', id: 's', name: 'web_search', input: {} },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'and' },
        {
          type: 'tool_result',
          tool_use_id: 'toolu_1',
          is_error: true,
          content: [
            { type: 'text', text: 'bad' },
            { type: 'image', source: { type: 'url', url: 'https://x.test/b.png' } },
          ],
        },
      ],
    },
  ],
  tools: [
    {
      name: 'f',
      description: 'd',
      input_schema: { type: 'object' },
      strict: true,
      cache_control: { type: 'ephemeral', ttl: '1h' },
    },
    { type: 'web_search_20250305', name: 'web_search' },
  ],
  tool_choice: { type: 'tool', name: 'f', disable_parallel_tool_use: true },
  thinking: { type: 'enabled', budget_tokens: 2000, display: 'summarized' },
  output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
  temperature: 1,
  top_p: 0.9,
  top_k: 5,
  stop_sequences: ['END'],
  metadata: { user_id: 'u' },
  service_tier: 'standard_only',
  cache_control: { type: 'ephemeral', ttl: '5m' },
  mcp_servers: [],
  inference_geo: 'eu',
}

describe('a Messages request', () => {
  it('is read with all that it says', () => {
    expect(messagesClient.request(FULL, 'm', false)).toMatchSnapshot()
  })

  it.each([
    [{ messages: [] }, 'max_tokens'],
    [{ max_tokens: 0, messages: [] }, 'max_tokens'],
    [
      { max_tokens: 1, messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] },
      'messages[0].content[0].source.type',
    ],
    [
      {
        max_tokens: 1,
        messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: 3 }] }],
      },
      'messages[0].content[0].input',
    ],
    [{ max_tokens: 1, messages: [], cache_control: 1 }, 'cache_control'],
    [{ max_tokens: 1, messages: [], mcp_servers: [{}] }, 'mcp_servers'],
    [{ max_tokens: 1, messages: [], tools: [{ name: 'f' }] }, 'tools[0].input_schema'],
    [{ max_tokens: 1, messages: [], thinking: { type: 'enabled' } }, 'thinking.budget_tokens'],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(messagesClient, sent)).toBe(param)
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(messagesClient, sent)
      }),
      { numRuns: 1500 },
    )
  })
})

/** As the SDK puts a stream together (`MessageStream`): blocks by index, a signature replaces, the others are joined. */
function accumulate(sse: string): JsonObject {
  let message: JsonObject = {}
  const blocks: Record<string, string>[] = []
  const open = new Set<number>()
  const inputs = new Map<number, string>()
  for (const event of dataOf(sse)) {
    const {
      type,
      index,
      delta,
      content_block: block,
    } = event as {
      type: string
      index: number
      delta: Record<string, string>
      content_block: Record<string, string>
    }
    if (type === 'message_start') message = event['message'] as JsonObject
    else if (type === 'content_block_start') {
      expect(index).toBe(blocks.length)
      blocks.push({ ...block })
      open.add(index)
    } else if (type === 'content_block_stop') expect(open.delete(index)).toBe(true)
    else if (type === 'content_block_delta') {
      expect(open.has(index)).toBe(true)
      const found = blocks[index]!
      if (delta['type'] === 'text_delta') found['text'] += delta['text']!
      else if (delta['type'] === 'thinking_delta') found['thinking'] += delta['thinking']!
      else if (delta['type'] === 'signature_delta') found['signature'] = delta['signature']!
      else if (delta['type'] === 'citations_delta')
        found['citations'] = [...(found['citations'] ?? []), delta['citation']] as unknown as string
      else if (delta['type'] === 'input_json_delta')
        inputs.set(index, (inputs.get(index) ?? '') + delta['partial_json']!)
    } else if (type === 'message_delta') Object.assign(message, delta, { usage: event['usage'] })
  }
  expect(open.size).toBe(0)
  const content = blocks.map((block, i) =>
    inputs.has(i) ? { ...block, input: JSON.parse(inputs.get(i)!) as Json } : block,
  )
  return { ...message, content }
}

const back = (message: JsonObject): Part[] => {
  const sent = { max_tokens: 1, messages: [{ role: 'assistant', content: message['content']! }] }
  return [...messagesClient.request(sent, 'm', false).messages[0]!.parts]
}

const textsOf = (message: JsonObject): JsonObject[] =>
  (message['content'] as JsonObject[]).filter((block) => block['type'] === 'text')

describe('a Messages answer', () => {
  it('comes back in the history as it was told, whole or streamed', () => {
    fc.assert(
      fc.property(contents({ lateSignatures: true }), (middle) => {
        const script = whole(middle)
        const expected = withObjects(partsOf(script))
        const body = bodyOf(messagesClient, script)
        expect(back(body)).toEqual(expected)
        const stream = streamOf(messagesClient, script, true)
        expect(stream).toBe(streamOf(messagesClient, script, false))
        const streamed = accumulate(stream)
        expect(back(streamed)).toEqual(expected)
        expect({ ...streamed, content: [] }).toEqual({ ...body, content: [] })
      }),
    )
  })

  it('has the same passages with their sources whole and streamed', () => {
    fc.assert(
      fc.property(contents({ citations: true }), (middle) => {
        const script = whole(middle)
        const streamed = accumulate(streamOf(messagesClient, script, true))
        expect(textsOf(streamed)).toEqual(textsOf(bodyOf(messagesClient, script)))
      }),
    )
  })

  it('is an object of the API', () => {
    const script = whole(
      [
        (sink) => sink.reasoning(0, 'hm'),
        (sink) => sink.signature(0, { by: 'anthropic.messages', value: 'sig==' }, ''),
        (sink) => sink.text(0, 'Paris'),
        (sink) => sink.citation(0, { url: 'https://x.test', title: 'X', quote: 'q' }),
        (sink) => sink.text(0, ' it is'),
      ],
      'stop_sequence',
      'msg_7',
    )
    expect(bodyOf(messagesClient, script)).toMatchSnapshot()
  })

  it('says what was used so that it is read as the same again', () => {
    expect(readUsage(bodyOf(messagesClient, whole([]))['usage'])).toEqual({ ...USED, reasoningTokens: 0 })
  })

  it('keeps what is no JSON object under a field of its own', () => {
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'a', 'f', false),
      (sink) => sink.toolArguments(0, 0, '{"a":'),
      (sink) => sink.toolCall(0, 1, 'b', 'g', true),
      (sink) => sink.toolArguments(0, 1, 'free "text"'),
    ])
    expect(bodyOf(messagesClient, script)['content']).toMatchObject([
      { input: { raw_arguments: '{"a":' } },
      { input: { raw_arguments: 'free "text"' } },
    ])
    expect(back(bodyOf(messagesClient, script))).toMatchObject([{ arguments: '{"a":' }, { arguments: 'free "text"' }])
  })

  it.each([
    ['stop', 'end_turn'],
    ['stop_sequence', 'stop_sequence'],
    ['length', 'max_tokens'],
    ['tool_calls', 'tool_use'],
    ['content_filter', 'refusal'],
    ['refusal', 'refusal'],
    ['pause', 'pause_turn'],
    ['error', 'max_tokens'],
  ] as const)('ends %s as %s', (reason, expected) => {
    expect(bodyOf(messagesClient, whole([], reason))['stop_reason']).toBe(expected)
  })
})

describe('a Messages stream', () => {
  it('has the events of the API, each under its name', () => {
    const script = whole([
      (sink) => sink.usage({ ...USED, outputTokens: 1, reasoningTokens: 0 }),
      (sink) => sink.text(0, 'Hi'),
      (sink) => sink.toolCall(0, 0, 'a', 'f', false),
      (sink) => sink.toolSignature(0, 0, { by: 'gemini.generate', value: 'QQ==' }),
      (sink) => sink.toolArguments(0, 0, '{}'),
    ])
    const events = eventsOf(streamOf(messagesClient, script, true))
    expect(events.map((event) => [event.name, JSON.parse(event.data)] as const)).toMatchSnapshot()
  })

  it('lets calls take turns without losing a piece', () => {
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'a', 'f', false),
      (sink) => sink.toolArguments(0, 0, '{"x":'),
      (sink) => sink.toolCall(0, 1, 'b', 'g', true),
      (sink) => sink.toolArguments(0, 1, 'say "'),
      (sink) => sink.toolArguments(0, 0, '1}'),
      (sink) => sink.toolArguments(0, 1, 'hi"'),
    ])
    expect(accumulate(streamOf(messagesClient, script, true))['content']).toEqual([
      { type: 'tool_use', id: 'a', name: 'f', input: { x: 1 } },
      { type: 'tool_use', id: 'b', name: 'g', input: { raw_arguments: 'say "hi"' } },
    ])
  })

  it('ends a call whose arguments are complete when the next begins', () => {
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'a', 'f', false),
      (sink) => sink.toolArguments(0, 0, '{"x":1}'),
      (sink) => sink.toolCall(0, 1, 'b', 'g', false),
      (sink) => sink.toolArguments(0, 1, '{}'),
    ])
    const names = eventsOf(streamOf(messagesClient, script, true)).map((event) => event.name)
    expect(names.indexOf('content_block_stop')).toBeLessThan(names.lastIndexOf('content_block_start'))
  })

  it('ends with an error of the API', () => {
    const encoder = messagesClient.stream(contextOf())
    encoder.start('', '')
    encoder.text(0, 'x')
    const events = eventsOf(String(encoder.error(new GatewayError('overloaded', 'Too much.'))))
    expect(events.at(-1)!.name).toBe('error')
    expect(JSON.parse(events.at(-1)!.data)).toMatchObject({
      type: 'error',
      error: { type: 'overloaded_error' },
      request_id: 'req-1',
    })
  })
})

describe('conversations that a server holds', () => {
  const sent: JsonObject = { max_tokens: 1, messages: [{ role: 'user', content: 'x' }], thread: { type: 'create' } }

  it('are refused so that SDKs send all messages again', () => {
    let thrown: unknown
    try {
      messagesClient.request(sent, 'm', false)
    } catch (error) {
      thrown = error
    }
    if (!GatewayError.is(thrown)) return expect.unreachable()
    expect(JSON.parse(messagesClient.error(thrown, 'r'))).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error', details: { error_code: 'thread_unsupported_request' } },
    })
  })

  it('are none where nothing is said of them', () => {
    expect(messagesClient.request({ ...sent, thread: null }, 'm', false).unknown).toBeUndefined()
  })

  it('have errors that pass with their names; other errors have none', () => {
    const lost = new GatewayError('model_not_found', 'gone', { publicCode: 'thread_not_found', verbatim: true })
    expect(messagesClient.error(lost, 'r')).toContain('"details":{"error_code":"thread_not_found"}')
    expect(messagesClient.error(new GatewayError('overloaded', 'x'), 'r')).not.toContain('details')
  })
})
