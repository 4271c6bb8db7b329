import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RawUsage } from './raw-usage.ts'

const read = (type: string, text: string, cuts: readonly number[] = []): unknown => {
  const raw = RawUsage.of(type, {})!
  const bytes = Buffer.from(text)
  let at = 0
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    const end = Math.min(bytes.length, Math.max(at, cut))
    raw.add(bytes.subarray(at, end))
    at = end
  }
  raw.add(bytes.subarray(at))
  return raw.usage
}

const USAGE = { input_tokens: 40, output_tokens: 1000, total_tokens: 1040 }

test('images, also larger than what is kept: the usage stands at the end', () => {
  const answer = (size: number): string =>
    JSON.stringify({ created: 1, data: [{ b64_json: 'A'.repeat(size) }], usage: USAGE })
  expect(read('application/json', answer(100))).toMatchObject({ inputTokens: 40, outputTokens: 1000, images: 1 })
  expect(read('application/json; charset=utf-8', answer(2_000_000))).toMatchObject({
    inputTokens: 40,
    outputTokens: 1000,
    images: 1,
    imageOutputTokens: 1000,
  })
})

test('several large images are counted however they arrive, also when the answer says nothing else', () => {
  const data = Array.from({ length: 4 }, () => ({ b64_json: 'A'.repeat(200_000) }))
  const text = JSON.stringify({ created: 1, data })
  fc.assert(
    fc.property(fc.array(fc.nat({ max: text.length }), { maxLength: 20 }), fc.boolean(), (cuts, torn) => {
      const at = text.lastIndexOf('b64_json')
      const more = torn ? Array.from({ length: 12 }, (_, i) => at - 2 + i) : []
      expect(read('application/json', text, [...cuts, ...more])).toMatchObject({ images: 4, outputTokens: 0 })
    }),
    { numRuns: 30 },
  )
})

test('a streamed image is longer than what is kept of a stream', () => {
  const event = (type: string, size: number, more: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, b64_json: 'A'.repeat(size), ...more })}\n\n`
  for (const size of [100, 15_900, 40_000, 2_000_000]) {
    const text =
      event('image_generation.partial_image', size, { partial_image_index: 0 }) +
      event('image_generation.completed', size, { usage: USAGE })
    expect(read('text/event-stream', text, [1000, 30_000])).toMatchObject({
      inputTokens: 40,
      outputTokens: 1000,
      images: 1,
      imageOutputTokens: 1000,
    })
  }
})

test('a stream of another dialect: its two halves stand at its two ends', () => {
  const event = (data: object): string => `event: x\ndata: ${JSON.stringify(data)}\n\n`
  const text =
    event({ type: 'message_start', message: { usage: { input_tokens: 25, output_tokens: 1 } } }) +
    event({ type: 'content_block_delta', delta: { text: 'y'.repeat(50) } }).repeat(2000) +
    event({ type: 'message_delta', delta: {}, usage: { output_tokens: 77 } }) +
    event({ type: 'message_stop' })
  fc.assert(
    fc.property(fc.array(fc.nat({ max: text.length }), { maxLength: 20 }), (cuts) => {
      expect(read('text/event-stream', text, cuts)).toMatchObject({ inputTokens: 25, outputTokens: 77 })
    }),
    { numRuns: 30 },
  )
})

test('what says nothing says nothing, and nothing throws', () => {
  expect(RawUsage.of('image/png', {})).toBe(null)
  expect(RawUsage.of(undefined, {})).toBe(null)
  fc.assert(
    fc.property(fc.string(), fc.boolean(), (text, stream) => {
      read(stream ? 'text/event-stream' : 'application/json', `${text}"usage"{${text}`)
    }),
  )
})

test('what it keeps is bounded', () => {
  const raw = new RawUsage(true, {})
  const chunk = Buffer.alloc(64 * 1024, 97)
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 3000; i++) raw.add(chunk)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(150 * 1024 * 1024)
  expect(raw.usage).toBe(null)
})
