import fc from 'fast-check'
import { expect, test } from 'vitest'
import { requestId } from './ids.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test.each(['a', 'trace:7f/1', 'x'.repeat(128), 'user@host=1+2_3.4-5'])('%j is kept', (id) => {
  expect(requestId(id)).toBe(id)
})

test.each([undefined, '', 'x'.repeat(129), 'a b', 'a\nb', 'a\n', '"', '<', 'é', '%0d%0a'])('%j is replaced', (id) => {
  expect(requestId(id)).toMatch(UUID)
})

test('whatever comes in, what goes out can stand in a header, in JSON and in a log line as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const id = requestId(text)
      expect(id).toMatch(/^[\x21-\x7e]{1,128}$/)
      expect(JSON.stringify(id)).toBe(`"${id}"`)
    }),
  )
})
