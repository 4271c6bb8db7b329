import fc from 'fast-check'
import { expect, test } from 'vitest'
import { askedOf, Trimmer } from './trim.ts'

/** The same, with the whole text at hand. */
function whole(text: string, echo: string, stop: readonly string[]): string {
  const rest = echo !== '' && text.startsWith(echo) ? text.slice(echo.length) : text
  // The sequence that is complete first ends the answer, of two the longer.
  for (let end = 0; end <= rest.length; end++) {
    const found = stop.filter((sequence) => rest.slice(0, end).endsWith(sequence))
    if (found.length > 0) return rest.slice(0, end - Math.max(...found.map(({ length }) => length)))
  }
  return rest
}

function inPieces(pieces: readonly string[], echo: string, stop: readonly string[]): string {
  const trimmer = new Trimmer(askedOf({ stop }, echo))
  return pieces.map((piece) => trimmer.push(piece)).join('') + trimmer.end()
}

test('however an answer is cut into pieces, the same of it is told', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 })
  fc.assert(
    fc.property(
      fc.array(letters, { maxLength: 12 }),
      letters,
      fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 3 }), { maxLength: 3 }),
      (pieces, echo, stop) => {
        expect(inPieces(pieces, echo, stop)).toBe(whole(pieces.join(''), echo, stop))
      },
    ),
    { numRuns: 2000 },
  )
})

test('no piece of a stop sequence is told before it is known not to be one', () => {
  const trimmer = new Trimmer(askedOf({ stop: ['\n\nUser:'] }, ''))
  expect(trimmer.push('Hello\n')).toBe('Hello')
  expect(trimmer.push('\nUs')).toBe('')
  expect(trimmer.push('ually')).toBe('\n\nUsually')
  expect(trimmer.push(' x\n\nUser: y')).toBe(' x')
  expect(trimmer.sequence).toBe('\n\nUser:')
  expect(trimmer.push('more')).toBe('')
  expect(trimmer.end()).toBe('')
})

test('an empty stop sequence stops nothing', () => {
  expect(inPieces(['abc'], '', [''])).toBe('abc')
})
