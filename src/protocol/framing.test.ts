import fc from 'fast-check'
import { expect, test } from 'vitest'
import { framerOf } from './framing.ts'
import { LineReader } from './lines.ts'

/** All events that come of bytes cut into these pieces. */
function events(bytes: Buffer, cuts: readonly number[]): string[] {
  const framer = framerOf('ndjson', 1 << 20)!
  const found: string[] = []
  let at = 0
  for (const cut of [...cuts.map((n) => n % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
    if (cut > at) expect(framer.push(bytes.subarray(at, cut))).toBeNull()
    at = Math.max(at, cut)
    for (let event = framer.next(); event !== null; event = framer.next()) found.push(event.data)
  }
  const rest = framer.rest()
  if (rest !== null) found.push(rest.data)
  return found
}

test('lines do not depend on how they come', () => {
  const line = fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n]/.test(text) && text.trim() !== '')
  fc.assert(
    fc.property(
      fc.array(line),
      fc.constantFrom('\n', '\r\n'),
      fc.boolean(),
      fc.array(fc.nat(500)),
      (lines, end, last, cuts) => {
        const body = lines.join(end) + (last ? end : '')
        expect(events(Buffer.from(body), cuts)).toEqual(lines)
      },
    ),
  )
})

test('empty lines are none', () => {
  expect(events(Buffer.from('\n\na\n\n \nb'), [])).toEqual(['a', 'b'])
})

test('a line that never ends is refused', () => {
  const lines = new LineReader(100)
  expect(lines.push(Buffer.alloc(60, 97))).toBe(true)
  expect(lines.next()).toBeNull()
  expect(lines.waits).toBe(true)
  expect(lines.push(Buffer.alloc(60, 97))).toBe(false)
})
