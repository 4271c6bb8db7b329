import fc from 'fast-check'
import { expect, test } from 'vitest'
import { redact } from './redact.ts'

test.each([
  ['my key is sk-proj-abcdefghijklmnop, ok', 'my key is [key], ok'],
  ['Authorization: Bearer abc.def-ghi', 'Authorization: [key]'],
  ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end', '[key] end'],
  ['AKIAIOSFODNN7EXAMPLE', '[key]'],
  ['"password": "hunter22"', '"[key]"'],
  ['-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- after', '[key] after'],
  ['-----BEGIN PRIVATE KEY-----\nMIIE cut', '[key]'],
  ['write to jane.doe+x@mail.example.co.uk.', 'write to [email].'],
  ['pay 4111 1111 1111 1111 now', 'pay [card] now'],
  ['pay 4111-1111-1111-1111', 'pay [card]'],
  ['call +49 30 1234567', 'call [phone]'],
  ['call (030) 123 45 67', 'call [phone]'],
])('%s', (text, clean) => {
  expect(redact(text)).toBe(clean)
})

test('ordinary text stays', () => {
  const text = 'In 1999 we wove 12 rugs of 3.5 m, for 1,200 dollars; see chapter 7. ask-me-anything at noon.'
  expect(redact(text)).toBe(text)
})

test('no text takes long', () => {
  const units = ['a', '1', ' ', '@', '.', '-', '+', 'eyJ', 'sk-', 'token=', '-----BEGIN ']
  fc.assert(
    fc.property(fc.constantFrom(...units), fc.constantFrom(...units), (one, other) => {
      const text = (one + other).repeat(10_000)
      expect(redact(text).length).toBeLessThanOrEqual(text.length * 2)
    }),
    { numRuns: 60 },
  )
})
