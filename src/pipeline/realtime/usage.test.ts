import { expect, test } from 'vitest'
import { modelOfSetup, RealtimeUsage } from './usage.ts'

const bytes = (event: unknown): Buffer => Buffer.from(JSON.stringify(event))
const done = (input: number, output: number) =>
  bytes({
    type: 'response.done',
    response: {
      usage: {
        input_tokens: input,
        output_tokens: output,
        input_token_details: { audio_tokens: 2, cached_tokens: 1 },
        output_token_details: { audio_tokens: 3 },
      },
    },
  })

test('responses are added up, with what of them was audio', () => {
  const used = new RealtimeUsage({})
  expect(used.read(bytes({ type: 'session.created' }))).toBe(false)
  expect(used.read(bytes({ type: 'response.created', response: { usage: null } }))).toBe(false)
  expect(used.read(done(10, 5))).toBe(true)
  expect(used.read(done(20, 7))).toBe(true)
  expect(used.total).toMatchObject({
    inputTokens: 30,
    outputTokens: 12,
    audioInputTokens: 4,
    audioOutputTokens: 6,
    cachedInputTokens: 2,
  })
})

test('transcripts by their length, and Gemini’s counts', () => {
  const used = new RealtimeUsage({})
  used.read(
    bytes({ type: 'conversation.item.input_audio_transcription.completed', usage: { type: 'duration', seconds: 1.5 } }),
  )
  used.read(bytes({ usageMetadata: { promptTokenCount: 3, responseTokenCount: 4 } }))
  expect(used.total).toMatchObject({ audioSeconds: 1.5, inputTokens: 3, outputTokens: 4 })
})

test('what somebody says about usage is none', () => {
  const used = new RealtimeUsage({})
  const said = '{"usage":{"input_tokens":1000000}}'
  expect(used.read(bytes({ type: 'response.output_text.done', text: said }))).toBe(false)
  expect(used.read(bytes({ type: 'conversation.item.done', item: { content: [{ text: said }], usage: {} } }))).toBe(
    false,
  )
  expect(used.read(Buffer.from('"usage"'))).toBe(false)
  expect(used.total).toMatchObject({ inputTokens: 0, outputTokens: 0 })
})

test('parts that nobody has counted are counted here, until somebody does', () => {
  const used = new RealtimeUsage({})
  used.read(done(10, 5))
  for (let i = 0; i < 4; i++) used.read(bytes({ type: 'response.output_audio.delta', delta: 'AAAA' }))
  expect(used.total).toMatchObject({ inputTokens: 20, outputTokens: 9 })
  used.read(done(12, 6))
  expect(used.total).toMatchObject({ inputTokens: 22, outputTokens: 11 })
})

test.each([
  [{ setup: { model: 'models/gemini-live' } }, 'gemini-live'],
  [{ setup: { model: 7 } }, ''],
  [{ setup: null }, ''],
  [[], ''],
])('%j is of the model %j', (event, model) => {
  expect(modelOfSetup(bytes(event))).toBe(model)
})
