import { createOpenAI } from '@ai-sdk/openai'
import { stepCountIs, streamText, tool } from 'ai'
import fc from 'fast-check'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { JsonObject, Part } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  USED,
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
import { readUsage } from '../usage.ts'
import { responsesClient } from './client-responses.ts'

const FULL: JsonObject = {
  model: 'm',
  instructions: 'Be brief.',
  input: [
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'look' },
        { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'low' },
        { type: 'input_image', file_id: 'file-1', detail: 'auto' },
        { type: 'input_file', file_data: 'data:application/pdf;base64,JVBERg==', filename: 'a.pdf' },
        { type: 'input_file', file_url: 'https://x.test/a.pdf' },
      ],
    },
    { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'gAAA' },
    { type: 'reasoning', id: 'rs_2', summary: [], encrypted_content: 'hdl2.tc1!hdl1.gemini.generate!QUJD' },
    {
      type: 'message',
      role: 'assistant',
      id: 'msg_1',
      status: 'completed',
      content: [
        {
          type: 'output_text',
          text: 'I will',
          annotations: [{ type: 'url_citation', url: 'https://x.test', title: 'X', start_index: 0, end_index: 1 }],
        },
        { type: 'refusal', refusal: 'no' },
      ],
    },
    { type: 'function_call', id: 'fc_1', call_id: 'c1', name: 'f', arguments: '{"a":1}', status: 'completed' },
    { type: 'custom_tool_call', call_id: 'c2', name: 'g', input: 'free' },
    { type: 'function_call_output', call_id: 'c1', output: 'one' },
    { type: 'custom_tool_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'two' }] },
    { type: 'web_search_call', id: 'ws_1', status: 'completed' },
    { type: 'computer_call_output', call_id: 'x', output: {} },
  ],
  tools: [
    {
      type: 'function',
      name: 'f',
      parameters: { type: 'object', properties: {}, required: [], additionalProperties: false },
    },
    { type: 'function', name: 'h', parameters: { type: 'object', properties: { a: { type: 'string' } } } },
    { type: 'custom', name: 'g', format: { type: 'grammar', syntax: 'lark', definition: 'x' } },
    { type: 'web_search' },
    { type: 'mcp', server_label: 's', server_url: 'https://x.test', authorization: 'secret', headers: { x: 'secret' } },
  ],
  tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
  parallel_tool_calls: true,
  text: { format: { type: 'json_schema', name: 'out', schema: { type: 'object' }, strict: false }, verbosity: 'high' },
  reasoning: { effort: 'low', summary: 'auto' },
  include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
  max_output_tokens: 99,
  temperature: 0.1,
  top_p: 0.2,
  top_logprobs: 2,
  truncation: 'auto',
  metadata: { a: 'b' },
  store: false,
  prompt_cache_key: 'k',
  max_tool_calls: 3,
}

describe('a Responses request', () => {
  it('is read with all that it says', () => {
    expect(responsesClient.request(FULL, 'm', true)).toMatchSnapshot()
  })

  it.each([
    [{}, 'input'],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0]'],
    [{ input: [{ type: 'item_reference', id: 'fc_x' }] }, 'input[0]'],
    [{ input: 'x', previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ input: 'x', background: true }, 'background'],
    [{ input: 'x', conversation: { id: 'c' } }, 'conversation'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0].image_url'],
    [{ input: [{ type: 'function_call', name: 'f', arguments: '' }] }, 'input[0].call_id'],
    [{ input: 'x', tool_choice: { type: 'file_search' } }, 'tool_choice'],
    [{ input: 'x', text: { format: { type: 'xml' } } }, 'text.format.type'],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(responsesClient, sent)).toBe(param)
  })

  it('goes on without reasoning that it only names, and says so', () => {
    const input = [
      { role: 'user', content: 'hi' },
      { type: 'item_reference', id: 'rs_1' },
      { role: 'user', content: 'go on' },
    ]
    const { messages, unknown } = responsesClient.request({ input }, 'm', false)
    expect(messages.map(({ role }) => role)).toEqual(['user', 'user'])
    expect(unknown).toEqual(['input.item_reference'])
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(responsesClient, sent)
      }),
      { numRuns: 1500 },
    )
  })
})

const back = (response: JsonObject): Part[] => {
  const parts = responsesClient
    .request({ input: response['output']! }, 'm', false)
    .messages.flatMap((m) => [...m.parts])
  return parts.filter((part) => part.type !== 'text' || part.text !== '')
}

/** How the SDK gets a stream: its own accumulator judges every event. */
function sdkOf(sse: string): OpenAI {
  return new OpenAI({
    apiKey: 'x',
    maxRetries: 0,
    fetch: () => Promise.resolve(new Response(sse, { headers: { 'content-type': 'text/event-stream' } })),
  })
}

const accumulate = async (sse: string) => {
  const stream = sdkOf(sse).responses.stream({ model: 'nice-model', input: 'x' })
  const { output } = await stream.finalResponse()
  return output as unknown as JsonObject[]
}

const MIXED: Told[] = whole([
  (sink) => sink.reasoning(0, 'thin'),
  (sink) => sink.reasoning(0, 'king'),
  (sink) => sink.signature(0, { by: 'anthropic.messages', value: 'sig==' }, ''),
  (sink) => sink.text(0, 'Hel'),
  (sink) => sink.text(0, 'lo'),
  (sink) => sink.citation(0, { url: 'https://x.test', title: 'X' }),
  (sink) => sink.toolCall(0, 0, 'c1', 'f', false),
  (sink) => sink.toolSignature(0, 0, { by: 'gemini.generate', value: 'QQ==' }),
  (sink) => sink.toolArguments(0, 0, '{"a"'),
  (sink) => sink.toolArguments(0, 0, ':1}'),
  (sink) => sink.toolCall(0, 1, 'c2', 'g', true),
  (sink) => sink.toolArguments(0, 1, 'free'),
])

/** Calls that take turns begin before their signatures are known: then these stand behind them in the stream. */
const inOrder = contents({ citations: true, oneByOne: true })

describe('a Responses answer', () => {
  it('does not take the id of an item of its own for that of an item of OpenAI', () => {
    const script = whole([(sink) => sink.signature(0, { by: 'openai.responses', value: 'gAAA' }, '')])
    expect(back(bodyOf(responsesClient, script))).toEqual([
      { type: 'reasoning', text: '', signature: { by: 'openai.responses', value: 'gAAA' } },
    ])
  })

  it('comes back in the history as it was told, whole or streamed', async () => {
    await fc.assert(
      fc.asyncProperty(contents({ lateSignatures: true }), async (middle) => {
        const script = whole(middle)
        const expected = joined(partsOf(script))
        expect(back(bodyOf(responsesClient, script))).toEqual(expected)
        const stream = streamOf(responsesClient, script, true)
        expect(stream).toBe(streamOf(responsesClient, script, false))
        expect(back({ output: await accumulate(stream) })).toEqual(expected)
        const held = streamOf(responsesClient, script, true, withLogprobs())
        expect(back({ output: await accumulate(held) })).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })

  it('is the same whole as at the end of its stream, all events before it adding up to it', () => {
    fc.assert(
      fc.property(inOrder, fc.constantFrom('stop', 'length', 'content_filter', 'error'), (middle, reason) => {
        const script = whole(middle, reason)
        const last = dataOf(streamOf(responsesClient, script, true)).at(-1)!
        expect(last['response']).toEqual(bodyOf(responsesClient, script))
      }),
    )
  })

  it('is an object of the API that repeats what was asked', () => {
    const body = bodyOf(responsesClient, MIXED, contextOf({ sent: FULL }))
    expect(body).toMatchSnapshot()
    expect(JSON.stringify(body)).not.toContain('secret')
  })

  it('says what was used so that it is read as the same again', () => {
    expect(readUsage(bodyOf(responsesClient, MIXED)['usage'])).toEqual(USED)
  })

  it.each([
    ['stop', 'completed', null],
    ['length', 'incomplete', { reason: 'max_output_tokens' }],
    ['content_filter', 'incomplete', { reason: 'content_filter' }],
    ['refusal', 'incomplete', { reason: 'content_filter' }],
    ['error', 'failed', null],
  ] as const)('ends %s as %s', (reason, status, details) => {
    const script = whole([(sink) => sink.text(0, 'x')], reason)
    expect(bodyOf(responsesClient, script)).toMatchObject({ status, incomplete_details: details })
    expect(eventsOf(streamOf(responsesClient, script, false)).at(-1)!.name).toBe(`response.${status}`)
  })
})

describe('a Responses stream', () => {
  it('numbers its events, and has those of the API in their order', () => {
    const events = dataOf(streamOf(responsesClient, MIXED, true))
    expect(events.map((event) => event['sequence_number'])).toEqual(events.map((_event, i) => i))
    expect(eventsOf(streamOf(responsesClient, MIXED, true)).map((event) => event.name)).toEqual(
      events.map((event) => event['type']),
    )
    expect(events.map((event) => event['type'])).toMatchSnapshot()
  })

  it('counts nothing where the backend does not count, and only when it is done', () => {
    const script: Told[] = [
      (sink) => sink.start('', ''),
      (sink) => sink.text(0, 'x'),
      (sink) => sink.finish(0, 'stop', ''),
      (sink) => sink.end(),
    ]
    const events = dataOf(streamOf(responsesClient, script, true))
    expect(events[0]).toMatchObject({ response: { usage: null } })
    expect(events.at(-1)).toMatchObject({ response: { usage: { input_tokens: 0, total_tokens: 0 } } })
  })

  it('tells a refusal as a part of its own', async () => {
    const script = whole([
      (sink) => sink.text(0, 'Hm.'),
      (sink) => sink.refusal(0, 'I will '),
      (sink) => sink.refusal(0, 'not.'),
    ])
    expect((await accumulate(streamOf(responsesClient, script, true)))[0]!['content']).toMatchObject([
      { type: 'output_text', text: 'Hm.' },
      { type: 'refusal', refusal: 'I will not.' },
    ])
  })

  it('keeps probabilities with the text they are of', () => {
    const request = { ...contextOf().request, logprobs: true }
    const script = whole([
      (sink) => sink.text(0, 'x'),
      (sink) => sink.text(0, 'a'),
      (sink) => sink.logprobs(0, [{ token: 'a' }]),
      (sink) => sink.text(0, 'b'),
    ])
    const deltas = dataOf(streamOf(responsesClient, script, true, contextOf({ request }))).filter(
      (event) => event['type'] === 'response.output_text.delta',
    )
    expect(deltas).toMatchObject([
      { delta: 'x', logprobs: [] },
      { delta: 'a', logprobs: [{ token: 'a' }] },
      { delta: 'b', logprobs: [] },
    ])
  })

  it('fails so that both kinds of client see it', async () => {
    const encoder = responsesClient.stream(contextOf())
    encoder.start('', '')
    encoder.text(0, 'x')
    const sse = String(encoder.error(new GatewayError('upstream_rate_limited', 'Slow down.')))
    expect(
      eventsOf(sse)
        .map((event) => event.name)
        .slice(-2),
    ).toEqual(['error', 'response.failed'])
    expect(dataOf(sse).at(-1)).toMatchObject({ response: { status: 'failed', error: { code: 'rate_limit_exceeded' } } })
    await expect(accumulate(sse)).rejects.toThrow('Slow down.')
  })

  it('is taken by the AI SDK, calls and reasoning included', async () => {
    let turn = 0
    const bodies: JsonObject[] = []
    const provider = createOpenAI({
      apiKey: 'x',
      fetch: (_url, init) => {
        bodies.push(JSON.parse(init?.body as string) as JsonObject)
        const middle: Told[] = [
          (sink) => sink.reasoning(0, 'hm'),
          (sink) => sink.signature(0, { by: 'anthropic.messages', value: 'sig==' }, ''),
          ...(turn === 0
            ? ([
                (sink) => sink.toolCall(0, 0, 'c1', 'weather', false),
                (sink) => sink.toolSignature(0, 0, { by: 'gemini.generate', value: 'QQ==' }),
                (sink) => sink.toolArguments(0, 0, '{"city":"Rome"}'),
              ] satisfies Told[])
            : ([(sink) => sink.text(0, 'Sunny.')] satisfies Told[])),
        ]
        turn++
        const sse = streamOf(responsesClient, whole(middle, 'stop', `b-${turn}`), true)
        return Promise.resolve(new Response(sse, { headers: { 'content-type': 'text/event-stream' } }))
      },
    })
    const result = streamText({
      model: provider.responses('gpt-5'),
      prompt: 'weather?',
      providerOptions: { openai: { store: false } },
      tools: {
        weather: tool({ inputSchema: z.object({ city: z.string() }), execute: ({ city }) => `sun in ${city}` }),
      },
      stopWhen: stepCountIs(3),
    })
    expect(await result.text).toBe('Sunny.')
    const [, second] = bodies
    const parts = responsesClient.request(second!, 'm', true).messages.flatMap((message) => [...message.parts])
    expect(parts).toContainEqual({
      type: 'reasoning',
      text: 'hm',
      signature: { by: 'anthropic.messages', value: 'sig==' },
    })
    expect(parts.find((part) => part.type === 'tool_call')).toMatchObject({
      id: 'c1',
      arguments: '{"city":"Rome"}',
      signature: { by: 'gemini.generate', value: 'QQ==' },
    })
  })
})
