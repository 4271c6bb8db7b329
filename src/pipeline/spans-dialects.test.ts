import { expect, test } from 'vitest'
import { inputContent, outputContent } from './spans-content.ts'

const INPUT = 'gen_ai.input.messages'
const OUTPUT = 'gen_ai.output.messages'
const parse = (value: unknown): unknown => JSON.parse(String(value))
const kept = (text: string) => ({ first: Buffer.from(text), last: null, all: [Buffer.from(text)] })

test('a Messages request shows what was said, and its instructions', () => {
  const found = inputContent(
    'messages',
    {
      model: 'm',
      max_tokens: 1,
      system: 'Be brief. sk-abcdefghijklmnopqrst',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'What is a heddle?' }] },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'look', input: { word: 'heddle' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'a wire' }] },
      ],
    },
    'redacted',
  )
  expect(parse(found[INPUT])).toMatchObject([
    { role: 'user', parts: [{ type: 'text', content: 'What is a heddle?' }] },
    { role: 'assistant', parts: [{ type: 'tool_call', name: 'look' }] },
    { role: 'tool', parts: [{ type: 'tool_call_response', id: 'a', response: 'a wire' }] },
  ])
  expect(String(found['gen_ai.system_instructions'])).toContain('Be brief.')
  expect(String(found['gen_ai.system_instructions'])).not.toContain('abcdefghijklmnop')
})

test('so does its answer, whole and streamed', () => {
  const whole = {
    id: 'm',
    type: 'message',
    role: 'assistant',
    content: [{ type: 'text', text: 'A wire.' }],
    stop_reason: 'end_turn',
    usage: {},
  }
  const said = [{ role: 'assistant', parts: [{ type: 'text', content: 'A wire.' }], finish_reason: 'stop' }]
  expect(parse(outputContent(kept(JSON.stringify(whole)), false, 'full', 'messages')[OUTPUT])).toEqual(said)
  const events = [
    { type: 'message_start', message: { ...whole, content: [] } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'A ' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'wire.' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
    { type: 'message_stop' },
  ]
  const stream = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
  expect(parse(outputContent(kept(stream), true, 'full', 'messages')[OUTPUT])).toEqual(said)
  // Cut in the middle of an event: what came before it is there.
  expect(String(outputContent(kept(stream.slice(0, 620)), true, 'full', 'messages')[OUTPUT])).toContain('A ')
})

test('Cohere’s requests and answers show what was said, too', () => {
  const input = inputContent('cohere_chat', { messages: [{ role: 'user', content: 'Hi' }], documents: ['D'] }, 'full')
  expect(parse(input[INPUT])).toMatchObject([
    { role: 'user', parts: [{ content: expect.stringContaining('D') as string }, { content: 'Hi' }] },
  ])
  const message = { role: 'assistant', content: [{ type: 'text', text: 'A wire.' }] }
  const said = [{ role: 'assistant', parts: [{ type: 'text', content: 'A wire.' }], finish_reason: 'stop' }]
  const whole = JSON.stringify({ id: 'a', finish_reason: 'COMPLETE', message })
  expect(parse(outputContent(kept(whole), false, 'full', 'cohere_chat')[OUTPUT])).toEqual(said)
  const events = [
    { type: 'message-start', id: 'a', delta: { message: { role: 'assistant' } } },
    { type: 'content-delta', index: 0, delta: { message: { content: { text: 'A wire.' } } } },
    { type: 'message-end', delta: { finish_reason: 'COMPLETE' } },
  ]
  const stream = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
  expect(parse(outputContent(kept(stream), true, 'full', 'cohere_chat')[OUTPUT])).toEqual(said)
})

test('what cannot be read is nothing', () => {
  expect(inputContent('messages', { messages: 5 }, 'full')).toEqual({})
  expect(outputContent(kept('{"content":'), false, 'full', 'messages')).toEqual({})
})
