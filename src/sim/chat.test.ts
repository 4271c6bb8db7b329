import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { at, eventsOf, jsonOf, post, stateFixture, streamOf } from './call-fixture.ts'
import { ApiError } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asObject, asString, parseJson } from './json.ts'

const PATH = '/v1/chat/completions'
const user = (content: Json): JsonObject => ({ role: 'user', content })
const chat = (body: JsonObject, state = stateFixture()): JsonObject => jsonOf(post(PATH, body, state))

/** Puts the chunks of a stream together again, as a client does. */
const assemble = (chunks: readonly JsonObject[]): Json[] => {
  const choices: { message: JsonObject; finish: Json }[] = []
  for (const chunk of chunks) {
    for (const raw of asArray(chunk['choices']) ?? []) {
      const index = Number(at(raw, 'index'))
      const choice = (choices[index] ??= { message: { content: null }, finish: null })
      const delta = asObject(at(raw, 'delta')) ?? {}
      if (typeof delta['content'] === 'string')
        choice.message['content'] = (asString(choice.message['content']) ?? '') + delta['content']
      if (delta['role'] !== undefined) choice.message['role'] = delta['role']
      for (const call of asArray(delta['tool_calls']) ?? []) mergeCall(choice.message, asObject(call) ?? {})
      choice.finish = at(raw, 'finish_reason') ?? choice.finish
    }
  }
  return choices.map(({ message, finish }) => ({ ...message, finish }))
}

const mergeCall = (message: JsonObject, delta: JsonObject): void => {
  const calls = asArray(message['tool_calls']) ?? []
  message['tool_calls'] = calls
  const index = Number(delta['index'])
  const known = asObject(calls[index])
  const piece = asString(at(delta, 'function.arguments')) ?? ''
  if (known === undefined) {
    const { index: _, ...rest } = delta
    calls[index] = rest
    return
  }
  const target = asObject(known['function']) ?? {}
  target['arguments'] = (asString(target['arguments']) ?? '') + piece
}

const whole = (body: JsonObject): Json[] =>
  (asArray(body['choices']) ?? []).map((choice) => {
    const { refusal: _r, annotations: _a, ...message } = asObject(at(choice, 'message')) ?? {}
    return { ...message, finish: at(choice, 'finish_reason') ?? null }
  })

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city', 'days'],
    },
  },
}

const requests = fc.record(
  {
    messages: fc.tuple(
      fc
        .oneof(fc.lorem(), fc.constantFrom('capital of France', 'weather "in" Oslo for 3 days\n', 'Grüße 😀'))
        .map(user),
    ),
    n: fc.integer({ min: 1, max: 3 }),
    max_tokens: fc.integer({ min: 1, max: 30 }),
    stop: fc.constantFrom('the', ['a', '.']),
    tools: fc.constant([weather]),
    response_format: fc.constantFrom<JsonObject>(
      { type: 'text' },
      { type: 'json_object' },
      {
        type: 'json_schema',
        json_schema: { name: 'x', schema: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] } },
      },
    ),
  },
  { requiredKeys: ['messages'] },
)

describe('chat completions', () => {
  it('says the same streamed as whole, for text, tools and structured output', () => {
    fc.assert(
      fc.property(requests, (made) => {
        const body = parseJson(JSON.stringify(made)) as JsonObject
        const streamed = eventsOf(post(PATH, { ...body, stream: true, stream_options: { include_usage: true } }))
        const full = chat(body)
        expect(assemble(streamed)).toEqual(whole(full))
        expect(streamed.at(-1)?.['usage']).toEqual(full['usage'])
      }),
      { numRuns: 150 },
    )
  })

  it('sends usage only when asked, and null in the other chunks then', () => {
    const without = eventsOf(post(PATH, { messages: [user('Hi')], stream: true }))
    expect(without.some((chunk) => 'usage' in chunk)).toBe(false)
    const chunks = eventsOf(
      post(PATH, { messages: [user('Hi')], stream: true, stream_options: { include_usage: true } }),
    )
    expect(chunks.slice(0, -1).every((chunk) => chunk['usage'] === null)).toBe(true)
    expect(chunks.at(-1)?.['choices']).toEqual([])
    expect(streamOf(post(PATH, { messages: [user('Hi')], stream: true })).events.at(-1)?.data).toBe('[DONE]')
  })

  it('counts usage, cached prefixes and reasoning', () => {
    const state = stateFixture()
    const long = user('warp and weft '.repeat(100))
    expect(at(chat({ messages: [long] }, state), 'usage.prompt_tokens_details.cached_tokens')).toBe(0)
    const again = chat({ messages: [long, { role: 'assistant', content: 'Yes.' }, user('More')] }, state)
    expect(at(again, 'usage.prompt_tokens_details.cached_tokens')).toBeGreaterThan(200)
    const thought = chat({ model: 'o4-mini', messages: [user('Hi')] })
    expect(at(thought, 'usage.completion_tokens_details.reasoning_tokens')).toBe(64)
    expect(at(thought, 'usage.total_tokens')).toBe(
      Number(at(thought, 'usage.prompt_tokens')) + Number(at(thought, 'usage.completion_tokens')),
    )
  })

  it('sets finish_reason and the shape of calls', () => {
    const tools = [weather]
    const called = chat({ messages: [user('weather in Oslo, 3 days')], tools })
    expect(at(called, 'choices.0.finish_reason')).toBe('tool_calls')
    expect(at(called, 'choices.0.message.content')).toBeNull()
    expect(at(called, 'choices.0.message.tool_calls.0.function')).toEqual({
      name: 'get_weather',
      arguments: '{"city":"Oslo","days":3}',
    })
    const named = chat({
      messages: [user('Hi')],
      tools,
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
    })
    expect(at(named, 'choices.0.finish_reason')).toBe('stop')
    expect(at(chat({ messages: [user('Tell me more')], max_tokens: 2 }), 'choices.0.finish_reason')).toBe('length')
    const legacy = chat({ messages: [user('weather in Oslo, 3 days')], functions: [weather.function] })
    expect(at(legacy, 'choices.0.message.function_call.name')).toBe('get_weather')
    expect(at(legacy, 'choices.0.finish_reason')).toBe('function_call')
  })

  it('gives log probabilities for each token', () => {
    const body = chat({ messages: [user('capital of France')], logprobs: true, top_logprobs: 2 })
    const tokens = asArray(at(body, 'choices.0.logprobs.content')) ?? []
    expect(tokens.map((token) => at(token, 'token')).join('')).toBe(at(body, 'choices.0.message.content'))
    expect(asArray(at(tokens[0], 'top_logprobs'))).toHaveLength(2)
  })

  it.each<[string, JsonObject, string | null, string | null]>([
    ['no messages', {}, 'messages', 'missing_required_parameter'],
    ['empty messages', { messages: [] }, 'messages', 'empty_array'],
    ['unknown role', { messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role', 'invalid_value'],
    ['inherited role', { messages: [{ role: 'constructor', content: 'x' }] }, 'messages[0].role', 'invalid_value'],
    ['temperature', { messages: [user('x')], temperature: 3 }, 'temperature', 'integer_above_max_value'],
    ['n of the wrong type', { messages: [user('x')], n: 'two' }, 'n', 'invalid_type'],
    ['stream_options alone', { messages: [user('x')], stream_options: {} }, 'stream_options', null],
    ['top_logprobs alone', { messages: [user('x')], top_logprobs: 2 }, 'top_logprobs', null],
    ['tool_choice without tools', { messages: [user('x')], tool_choice: 'auto' }, 'tool_choice', null],
    [
      'tool message without a call',
      { messages: [user('x'), { role: 'tool', tool_call_id: 'a', content: 'r' }] },
      'messages.[1].role',
      null,
    ],
    [
      'unanswered call',
      {
        messages: [
          { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }] },
          user('x'),
        ],
      },
      'messages.[1].role',
      null,
    ],
    [
      'bad mime',
      { messages: [user([{ type: 'image_url', image_url: { url: 'data:text/html;base64,AAAA' } }])] },
      'messages[0].content[0].image_url',
      'invalid_image_format',
    ],
    [
      'bad base64',
      { messages: [user([{ type: 'image_url', image_url: { url: 'data:image/png;base64,?' } }])] },
      'messages[0].content[0].image_url',
      'invalid_base64',
    ],
    [
      'bad audio format',
      { messages: [user([{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'exe' } }])] },
      'messages[0].content[0].input_audio.format',
      'invalid_value',
    ],
    [
      'unknown file',
      { messages: [user([{ type: 'file', file: { file_id: 'file-x' } }])] },
      'messages[0].content[0].file.file_id',
      'file_not_found',
    ],
    ['unknown part', { messages: [user([{ type: 'smell' }])] }, 'messages[0].content[0].type', 'invalid_value'],
  ])('refuses: %s', (_, body, param, code) => {
    const error = (() => {
      try {
        return post(PATH, body)
      } catch (thrown) {
        return thrown
      }
    })()
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param, code })
  })

  it('takes images, audio and files by URL, base64 and data URL', () => {
    const png = 'data:image/png;base64,iVBORw0KGgo='
    const body = chat({
      messages: [
        user([
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: png } },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
          { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' } },
        ]),
      ],
    })
    const text = asString(at(body, 'choices.0.message.content'))
    for (const medium of ['image/png (8 bytes)', 'an image by URL', 'audio/wav (3 bytes)', 'application/pdf (4 bytes)'])
      expect(text).toContain(medium)
  })
})
