import fc from 'fast-check'
import { expect, test } from 'vitest'
import { attachedIn } from './usage-attached.ts'

const packed = (size: number): string => Buffer.alloc(size, 'woven').toString('base64')
const body = (...content: readonly object[]): Buffer =>
  Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] }))
const image = (size: number) => ({
  type: 'image_url',
  image_url: { url: `data:image/png;base64,${packed(size)}`, detail: 'high' },
})

test('images count by the piece, recordings and documents by their size', () => {
  expect(attachedIn(body(image(3_000_000)))).toEqual({ bytes: 4_000_000, tokens: 1600 })
  expect(attachedIn(body(image(30_000), image(60_000)))).toEqual({ bytes: 120_000, tokens: 3200 })
  const audio = { type: 'input_audio', input_audio: { data: packed(600_000), format: 'mp3' } }
  expect(attachedIn(body(audio))).toEqual({ bytes: 800_000, tokens: 1600 + 3000 })
  const file = { type: 'file', file: { file_data: `data:application/pdf;base64,${packed(600_000)}` } }
  expect(attachedIn(body(file))).toEqual({ bytes: 800_000, tokens: 1600 + 3000 })
})

test('text is text: a caller cannot make it cheap by calling it data', () => {
  const words = 'the quick brown fox jumps '.repeat(2000)
  expect(attachedIn(body({ type: 'text', text: words }))).toEqual({ bytes: 0, tokens: 0 })
  expect(attachedIn(body({ type: 'text', text: `;base64,${words}` }))).toEqual({ bytes: 0, tokens: 0 })
  expect(attachedIn(body({ data: words }))).toEqual({ bytes: 0, tokens: 0 })
  expect(attachedIn(body({ type: 'text', text: 'hello' }))).toEqual({ bytes: 0, tokens: 0 })
})

test('what is inside of something counted is not counted again', () => {
  const bytes = Buffer.from(`"data":"${packed(9000)};base64,${packed(9000)}${packed(9000)}"`)
  expect(attachedIn(bytes).bytes).toBeLessThanOrEqual(bytes.length)
  expect(attachedIn(bytes).bytes).toBeGreaterThan(24_000)
})

test('any body: what is taken off is never more than there is', () => {
  const part = fc.constantFrom(';base64,', '"data"', '"', ':', packed(9000), ' ', 'data:image/')
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const bytes = Buffer.from(parts.join(''))
      expect(attachedIn(bytes).bytes).toBeLessThanOrEqual(bytes.length)
    }),
    { numRuns: 500 },
  )
})
