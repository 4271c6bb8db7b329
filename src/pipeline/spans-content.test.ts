import { describe, expect, test } from 'vitest'
import type { AnswerParts } from '../contracts/trace.ts'
import { inputContent, outputContent } from './spans-content.ts'
import { answerFacts } from './spans-answer.ts'

const parse = (text: unknown): unknown => JSON.parse(String(text))
const answer = (text: string, pieces = 1): AnswerParts => {
  const bytes = Buffer.from(text)
  const size = Math.ceil(bytes.length / pieces)
  const all = Array.from({ length: pieces }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
  return { first: all[0]!, last: pieces === 1 ? null : all.at(-1)!, all }
}

describe('prompts', () => {
  test('are messages of parts; instructions stand apart; files and images are named, not copied', () => {
    const found = inputContent(
      'chat',
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'What is it?' },
              { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
            ],
          },
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'c1', function: { name: 'f', arguments: '{"a":1}' } }],
          },
          { role: 'tool', tool_call_id: 'c1', content: 'done' },
        ],
      },
      'full',
    )
    expect(parse(found['gen_ai.system_instructions'])).toEqual([{ type: 'text', content: 'Be brief.' }])
    expect(parse(found['gen_ai.input.messages'])).toEqual([
      { role: 'user', parts: [{ type: 'text', content: 'What is it?' }, { type: 'image_url' }] },
      { role: 'assistant', parts: [{ type: 'tool_call', id: 'c1', name: 'f', arguments: '{"a":1}' }] },
      { role: 'tool', parts: [{ type: 'tool_call_response', id: 'c1', response: 'done' }] },
    ])
  })

  test('of the Responses API, of completions and of embeddings', () => {
    const messages = (operation: 'responses' | 'completions' | 'embeddings', body: Record<string, unknown>) =>
      parse(inputContent(operation, body, 'full')['gen_ai.input.messages'])
    const said = [{ role: 'user', parts: [{ type: 'text', content: 'hello' }] }]
    expect(messages('responses', { input: 'hello' })).toEqual(said)
    expect(messages('completions', { prompt: 'hello' })).toEqual(said)
    expect(messages('embeddings', { input: ['hello'] })).toEqual(said)
    expect(inputContent('embeddings', { input: [1, 2, 3] }, 'full')).toEqual({})
    const { 'gen_ai.system_instructions': system } = inputContent(
      'responses',
      { input: 'x', instructions: 'go' },
      'full',
    )
    expect(parse(system)).toEqual([{ type: 'text', content: 'go' }])
  })

  test('redacted, show no key, address or number, wherever they stand', () => {
    const secrets = ['sk-abcdefghijklmnop', 'jane@example.com', '4111 1111 1111 1111']
    const text = `see ${secrets.join(', ')}.`
    const body = {
      messages: [
        { role: 'system', content: text },
        { role: 'user', content: [{ type: 'text', text }] },
        { role: 'assistant', tool_calls: [{ id: '1', function: { name: 'f', arguments: text } }] },
        { role: 'tool', content: text },
      ],
    }
    const redacted = JSON.stringify(inputContent('chat', body, 'redacted'))
    for (const secret of secrets) expect(redacted).not.toContain(secret)
    expect(JSON.stringify(inputContent('chat', body, 'full'))).toContain('sk-abcdefghijklmnop')
  })

  test('are bounded, from the end, and no secret is cut in two', () => {
    const messages = Array.from({ length: 50 }, (_, i) => ({ role: 'user', content: `${i} ${'x '.repeat(2000)}` }))
    const text = String(inputContent('chat', { messages }, 'full')['gen_ai.input.messages'])
    expect(text.length).toBeLessThan(17 * 1024)
    expect(text).toContain('49 x')
    const mail = 'someone.with.a.long.name@example.com '
    const many = { messages: [{ role: 'user', content: mail.repeat(2000) }] }
    const clean = String(inputContent('chat', many, 'redacted')['gen_ai.input.messages'])
    expect(clean).not.toContain('someone')
    expect(clean.length).toBeLessThan(17 * 1024)
  })
})

describe('answers', () => {
  const CHAT = JSON.stringify({
    id: 'chatcmpl-1',
    model: 'gpt-4o-2024',
    choices: [{ index: 0, message: { role: 'assistant', content: 'woven' }, finish_reason: 'stop' }],
    service_tier: 'flex',
  })
  const STREAM = [
    'data: {"id":"chatcmpl-2","model":"m","choices":[{"delta":{"role":"assistant"}}]}',
    'data: {"choices":[{"delta":{"content":"wo"}}]}',
    'data: {"choices":[{"delta":{"content":"ven"}}]}',
    'data: {"choices":[{"delta":{},"finish_reason":"length"}]}',
    'data: [DONE]',
    '',
  ].join('\n\n')

  test('whole and streamed, are put together', () => {
    const said = (reason: string) => [
      { role: 'assistant', parts: [{ type: 'text', content: 'woven' }], finish_reason: reason },
    ]
    expect(parse(outputContent(answer(CHAT), false, 'full')['gen_ai.output.messages'])).toEqual(said('stop'))
    expect(parse(outputContent(answer(STREAM, 7), true, 'full')['gen_ai.output.messages'])).toEqual(said('length'))
  })

  test('redacted, end before what a bound has cut in two', () => {
    const event = (content: string): Buffer =>
      Buffer.from(`data: ${JSON.stringify({ pad: 'p'.repeat(600), choices: [{ delta: { content } }] })}\n\n`)
    const text = Array.from({ length: 110 }, () => event('thread '))
    const all = [...text, event('the key is sk-abc')]
    const said = (kind: 'redacted' | 'full'): string =>
      String(Object.values(outputContent({ first: all[0]!, last: null, all }, true, kind))[0])
    expect(said('redacted')).toContain('thread')
    expect(said('redacted')).not.toContain('sk-abc')
    expect(said('full')).toContain('sk-abc')
  })

  test('of the Responses API', () => {
    const body = {
      status: 'completed',
      output: [{ type: 'message', content: [{ type: 'output_text', text: 'woven' }] }],
    }
    expect(parse(outputContent(answer(JSON.stringify(body)), false, 'full')['gen_ai.output.messages'])).toEqual([
      { role: 'assistant', parts: [{ type: 'text', content: 'woven' }], finish_reason: 'completed' },
    ])
    const events = 'data: {"type":"response.output_text.delta","delta":"woven"}\n\n'
    expect(String(outputContent(answer(events), true, 'full')['gen_ai.output.messages'])).toContain('woven')
  })

  test('that are cut or broken give nothing, and no error', () => {
    expect(outputContent(answer('{"choices":[{'), false, 'full')).toEqual({})
    expect(outputContent(answer('data: {"choi'), true, 'full')).toEqual({})
    expect(outputContent({ first: null, last: null, all: [] }, false, 'full')).toEqual({})
  })

  test('tell id, model, tier and the reason of their end by their ends alone', () => {
    expect(answerFacts(answer(CHAT))).toEqual({
      id: 'chatcmpl-1',
      model: 'gpt-4o-2024',
      tier: 'flex',
      finishReason: 'stop',
    })
    expect(answerFacts(answer(STREAM, 2))).toEqual({ id: 'chatcmpl-2', model: 'm', tier: '', finishReason: 'length' })
    expect(answerFacts(answer('{"id": 5, "model": "a\\"b", "finish_reason": null}'))).toEqual({
      id: '',
      model: '',
      tier: '',
      finishReason: '',
    })
    expect(answerFacts({ first: null, last: null, all: [] }).id).toBe('')
  })
})
