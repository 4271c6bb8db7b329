import fc from 'fast-check'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Part } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  bodyOf,
  contents,
  contextOf,
  dataOf,
  eventsOf,
  expectOnlyClientErrors,
  joined,
  partsOf,
  streamOf,
  whole,
  wildRequest,
  withLogprobs,
} from '../../../test/support/client-dialects.ts'
import type { Told } from '../../../test/support/client-dialects.ts'
import { chatClient } from './client-chat.ts'

const PNG = 'data:image/png;base64,iVBORw0KGgo='

const FULL: JsonObject = {
  model: 'm',
  messages: [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'developer',
      content: [{ type: 'text', text: 'Really.', cache_control: { type: 'ephemeral', ttl: '1h' } }],
    },
    {
      role: 'user',
      name: 'ann',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: PNG, detail: 'low' } },
        { type: 'image_url', image_url: { url: 'https://x.test/a.png' } },
        { type: 'input_audio', input_audio: { data: 'AAAA', format: 'mp3' } },
        { type: 'file', file: { file_data: 'data:application/pdf;base64,JVBERg==', filename: 'a.pdf' } },
        { type: 'file', file: { file_id: 'file-1' } },
        { type: 'video_url', video_url: { url: 'https://x.test/v' } },
      ],
    },
    {
      role: 'assistant',
      content: 'hm',
      reasoning_details: [
        { type: 'reasoning.text', text: 'let me ', index: 0 },
        { type: 'reasoning.text', text: 'see', signature: 'hdl1.anthropic.messages!sig==', index: 0 },
        { type: 'reasoning.encrypted', data: 'abc', index: 1 },
      ],
      tool_calls: [
        {
          id: 'c1',
          type: 'function',
          function: { name: 'f', arguments: '{"a":1}' },
          extra_content: { google: { thought_signature: 'hdl1.gemini.generate!QUJD' } },
        },
        { id: 'c2', type: 'custom', custom: { name: 'g', input: 'free' } },
      ],
    },
    { role: 'tool', tool_call_id: 'c1', content: 'one' },
    { role: 'tool', tool_call_id: 'c2', content: [{ type: 'text', text: 'two' }] },
  ],
  tools: [
    { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' }, strict: true } },
    { type: 'custom', custom: { name: 'g', format: { type: 'text' } } },
    { type: 'web_search', x: 1 },
  ],
  tool_choice: {
    type: 'allowed_tools',
    allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'f' } }] },
  },
  parallel_tool_calls: false,
  response_format: { type: 'json_schema', json_schema: { name: 'out', schema: { type: 'object' }, strict: true } },
  reasoning_effort: 'high',
  reasoning: { max_tokens: 1000, exclude: true },
  max_completion_tokens: 100,
  max_tokens: 7,
  temperature: 0.5,
  top_p: 0.9,
  top_k: 40,
  min_p: 0.1,
  frequency_penalty: -1,
  presence_penalty: 1,
  repetition_penalty: 1.1,
  seed: -3,
  stop: 'END',
  n: 2,
  logit_bias: { '50256': -100 },
  logprobs: true,
  top_logprobs: 3,
  verbosity: 'low',
  modalities: ['text'],
  user: 'u',
  metadata: { a: 'b' },
  service_tier: 'flex',
  store: false,
  prompt_cache_key: 'k',
  safety_identifier: 's',
  prediction: { type: 'content', content: 'p' },
  something_new: 1,
}

describe('a chat request', () => {
  it('is read with all that it says', () => {
    expect(chatClient.request(FULL, 'm', true)).toMatchSnapshot()
  })

  it.each([
    [{ messages: 'hi' }, 'messages'],
    [{ messages: [{ role: 'owner', content: '' }] }, 'messages[0].role'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      'messages[0].content[0].image_url.url',
    ],
    [
      {
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,@@' } }] }],
      },
      'messages[0].content[0].image_url.url',
    ],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ messages: [], stop: [1] }, 'stop[0]'],
    [{ messages: [], top_logprobs: 21 }, 'top_logprobs'],
    [{ messages: [], tools: [{ type: 'function', function: {} }] }, 'tools[0].function.name'],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(chatClient, sent)).toBe(param)
  })

  it('reads the calls and results of before tools', () => {
    const { messages, tools, toolChoice } = chatClient.request(
      {
        messages: [
          { role: 'user', content: 'x' },
          { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } },
          { role: 'function', name: 'f', content: 'done' },
        ],
        functions: [{ name: 'f', parameters: { type: 'object' } }],
        function_call: { name: 'f' },
      },
      'm',
      false,
    )
    expect(messages.slice(1)).toEqual([
      { role: 'assistant', parts: [{ type: 'tool_call', id: 'call_1', name: 'f', arguments: '{}' }] },
      {
        role: 'tool',
        parts: [{ type: 'tool_result', id: 'call_1', name: 'f', content: [{ type: 'text', text: 'done' }] }],
      },
    ])
    expect(tools).toEqual([{ name: 'f', schema: { type: 'object' } }])
    expect(toolChoice).toEqual({ mode: 'tool', name: 'f' })
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(chatClient, sent)
      }),
      { numRuns: 1500 },
    )
  })
})

/** The chat API has one text, and no order between kinds. */
function inChatOrder(parts: readonly Part[]): Part[] {
  const of = (type: Part['type']): Part[] => parts.filter((part) => part.type === type)
  const thoughts = of('reasoning')
  const proved = parts.some(
    (part) =>
      (part.type === 'reasoning' && (part.signature !== undefined || part.redacted !== undefined)) ||
      (part.type === 'tool_call' && part.signature !== undefined),
  )
  const whole = thoughts.map((part) => (part.type === 'reasoning' ? part.text : '')).join('')
  const reasoning: Part[] = proved ? thoughts : whole === '' ? [] : [{ type: 'reasoning', text: whole }]
  return [...reasoning, ...joined(of('text')), ...of('tool_call')]
}

interface Message {
  content: string | null
  refusal: string | null
  tool_calls?: JsonObject[]
  reasoning_details?: JsonObject[]
  reasoning_content?: string
}

/** As the SDKs put a stream together: texts are joined, lists by index. */
function accumulate(sse: string): Message {
  const message: Message = { content: null, refusal: null }
  for (const chunk of dataOf(sse)) {
    const delta = (chunk['choices'] as JsonObject[])[0]?.['delta'] as JsonObject | undefined
    if (delta === undefined) continue
    if (typeof delta['content'] === 'string') message.content = (message.content ?? '') + delta['content']
    if (typeof delta['reasoning_content'] === 'string')
      message.reasoning_content = (message.reasoning_content ?? '') + delta['reasoning_content']
    if (Array.isArray(delta['reasoning_details']))
      (message.reasoning_details ??= []).push(...(delta['reasoning_details'] as JsonObject[]))
    for (const call of (delta['tool_calls'] ?? []) as { index: number; function?: JsonObject }[]) {
      const calls = (message.tool_calls ??= [])
      const before = calls[call.index] as { function: { arguments: string } } | undefined
      const { index, function: fn, ...rest } = call
      if (before === undefined) calls[index] = { ...rest, function: { ...fn } }
      else {
        Object.assign(before, rest)
        before.function.arguments += (fn?.['arguments'] as string | undefined) ?? ''
      }
    }
  }
  return message
}

const back = (message: unknown): Part[] => {
  const sent = { messages: [{ ...(message as JsonObject), role: 'assistant' }] }
  return [...chatClient.request(sent, 'm', false).messages[0]!.parts]
}

describe('a chat answer', () => {
  it('comes back in the history as it was told, whole or streamed', () => {
    fc.assert(
      fc.property(contents({ lateSignatures: true }), (middle) => {
        const script = whole(middle)
        const expected = inChatOrder(partsOf(script))
        const { message } = (bodyOf(chatClient, script)['choices'] as { message: JsonObject }[])[0]!
        expect(back(message)).toEqual(expected)
        const stream = streamOf(chatClient, script, true)
        expect(stream).toBe(streamOf(chatClient, script, false))
        expect(back(accumulate(stream))).toEqual(expected)
        expect(back(accumulate(streamOf(chatClient, script, true, withLogprobs())))).toEqual(expected)
      }),
    )
  })

  it('has the same sources whole and streamed', () => {
    fc.assert(
      fc.property(contents({ citations: true }), (middle) => {
        const script = whole(middle)
        const { message } = (bodyOf(chatClient, script)['choices'] as { message: JsonObject }[])[0]!
        const streamed = dataOf(streamOf(chatClient, script, true)).flatMap((chunk) => {
          const delta = (chunk['choices'] as JsonObject[])[0]?.['delta'] as JsonObject | undefined
          return (delta?.['annotations'] ?? []) as JsonObject[]
        })
        const byStart = (list: JsonObject[]): string[] => list.map((item) => JSON.stringify(item)).sort()
        expect(byStart(streamed)).toEqual(byStart((message['annotations'] ?? []) as JsonObject[]))
      }),
    )
  })

  it('gives the signature of a call back by either of the places that clients keep', () => {
    const signature = { by: 'gemini.generate', value: 'QQ==' } as const
    const script = whole([
      (sink) => sink.reasoning(0, 'hm'),
      (sink) => sink.toolCall(0, 0, 'c1', 'f', false),
      (sink) => sink.toolSignature(0, 0, signature),
      (sink) => sink.toolArguments(0, 0, '{}'),
    ])
    const expected = [
      { type: 'reasoning', text: 'hm' },
      { type: 'tool_call', id: 'c1', name: 'f', arguments: '{}', signature },
    ]
    const { message } = (bodyOf(chatClient, script)['choices'] as { message: JsonObject }[])[0]!
    const bare = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
    expect(back({ ...message, tool_calls: [bare] })).toEqual(expected)
    const { reasoning_details: _details, ...rest } = message
    expect(back(rest)).toEqual(expected)
    const { reasoning_details: streamed } = accumulate(streamOf(chatClient, script, true))
    expect(streamed).toEqual(message['reasoning_details'])
  })

  it('is an object of the API', () => {
    const script = whole([
      (sink) => sink.reasoning(0, 'hm'),
      (sink) => sink.text(0, 'Paris'),
      (sink) => sink.citation(0, { url: 'https://x.test', title: 'X' }),
      (sink) => sink.logprobs(0, [{ token: 'Paris', logprob: -0.1, bytes: null, top_logprobs: [] }]),
      (sink) => sink.text(1, 'Rome'),
      (sink) => sink.finish(1, 'length', ''),
    ])
    expect(bodyOf(chatClient, script)).toMatchSnapshot()
  })

  it('answers a client of functions with a function call', () => {
    const context = contextOf({ sent: { functions: [] } })
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'c', 'f', false),
      (sink) => sink.toolArguments(0, 0, '{"a":'),
      (sink) => sink.toolArguments(0, 0, '1}'),
      (sink) => sink.toolCall(0, 1, 'd', 'g', false),
    ])
    const choice = (bodyOf(chatClient, script, context)['choices'] as JsonObject[])[0]!
    expect(choice).toMatchObject({
      finish_reason: 'function_call',
      message: { function_call: { name: 'f', arguments: '{"a":1}' } },
    })
    const deltas = dataOf(streamOf(chatClient, script, true, context)).flatMap(
      (chunk) => chunk['choices'] as JsonObject[],
    )
    expect(deltas.map(({ delta, finish_reason: reason }) => [delta, reason])).toEqual([
      [{ role: 'assistant', content: null, refusal: null }, null],
      [{ function_call: { name: 'f', arguments: '{"a":' } }, null],
      [{ function_call: { arguments: '1}' } }, null],
      [{}, 'function_call'],
    ])
  })

  it('hides reasoning from a client that does not want it', () => {
    const request = { ...contextOf().request, reasoning: { effort: null, budget: null, visible: false } }
    const script = whole([
      (sink) => sink.reasoning(0, 'secret'),
      (sink) => sink.signature(0, { by: 'gemini.generate', value: 'QQ==' }, ''),
      (sink) => sink.text(0, 'x'),
    ])
    const context = contextOf({ request })
    expect(JSON.stringify(bodyOf(chatClient, script, context))).not.toMatch(/secret|QQ==/)
    expect(streamOf(chatClient, script, true, context)).not.toMatch(/secret|QQ==/)
  })
})

describe('a chat stream', () => {
  const hello: Told[] = whole([(sink) => sink.text(0, 'Hel"'), (sink) => sink.text(0, 'lo\n')])

  it('has the role first, then the pieces, the reason, the usage and [DONE]', () => {
    const text = streamOf(chatClient, hello, true)
    const chunks = dataOf(text)
    expect(chunks.map((chunk) => (chunk['choices'] as JsonObject[])[0]?.['delta'] ?? null)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { content: 'Hel"' },
      { content: 'lo\n' },
      {},
      null,
    ])
    for (const chunk of chunks)
      expect(chunk).toMatchObject({
        id: 'chatcmpl-backend-1',
        object: 'chat.completion.chunk',
        created: 1_700_000_000,
        model: 'nice-model',
      })
    expect(chunks.slice(0, 4).map((chunk) => chunk['usage'])).toEqual([null, null, null, null])
    expect(chunks[4]!['usage']).toMatchObject({ prompt_tokens: 100, completion_tokens: 40, total_tokens: 140 })
    expect(eventsOf(text).at(-1)!.data).toBe('[DONE]')
  })

  it('has no word of usage when nobody asked', () => {
    const text = streamOf(chatClient, hello, true, contextOf({ includeUsage: false }))
    expect(text).not.toContain('usage')
    expect(dataOf(text)).toHaveLength(4)
  })

  it('keeps probabilities with the text they are of', () => {
    const request = { ...contextOf().request, logprobs: true }
    const script = whole([
      (sink) => sink.text(0, 'a'),
      (sink) => sink.logprobs(0, [{ token: 'a' }]),
      (sink) => sink.text(0, 'b'),
    ])
    const chunks = dataOf(streamOf(chatClient, script, true, contextOf({ request })))
    expect(chunks.slice(1, 3).map((chunk) => (chunk['choices'] as JsonObject[])[0])).toMatchObject([
      { delta: { content: 'a' }, logprobs: { content: [{ token: 'a' }], refusal: null } },
      { delta: { content: 'b' }, logprobs: null },
    ])
  })

  it('ends with the error, and nothing after it', () => {
    const encoder = chatClient.stream(contextOf())
    encoder.start('', '')
    encoder.text(0, 'x')
    const events = eventsOf(String(encoder.error(new GatewayError('stream_interrupted', 'Broke off.'))))
    expect(events).toHaveLength(3)
    expect(JSON.parse(events[2]!.data)).toMatchObject({ error: { code: 'stream_interrupted', request_id: 'req-1' } })
  })

  it('is taken by the helper of the openai package', async () => {
    const script = whole([
      (sink) => sink.reasoning(0, 'thinking'),
      (sink) => sink.text(0, 'Let me '),
      (sink) => sink.text(0, 'look'),
      (sink) => sink.toolCall(0, 0, 'c1', 'f', false),
      (sink) => sink.toolSignature(0, 0, { by: 'gemini.generate', value: 'QQ==' }),
      (sink) => sink.toolArguments(0, 0, '{"a":'),
      (sink) => sink.toolCall(0, 1, 'c2', 'g', false),
      (sink) => sink.toolArguments(0, 1, '{}'),
      (sink) => sink.toolArguments(0, 0, '1}'),
    ])
    const client = new OpenAI({
      apiKey: 'x',
      fetch: () =>
        Promise.resolve(
          new Response(streamOf(chatClient, script, false), { headers: { 'content-type': 'text/event-stream' } }),
        ),
    })
    const final = await client.chat.completions
      .stream({ model: 'nice-model', messages: [], stream_options: { include_usage: true } })
      .finalChatCompletion()
    expect(final.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'Let me look',
        tool_calls: [
          { id: 'c1', function: { name: 'f', arguments: '{"a":1}' } },
          { id: 'c2', function: { name: 'g', arguments: '{}' } },
        ],
      },
    })
    expect(final.usage?.total_tokens).toBe(140)
  })
})
