import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Signals } from '../../contracts/trace.ts'
import { readSignals } from '../../protocol/signals.ts'
import { chooseParent, parseB3, parseB3Single, parseTraceparent } from './context.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const signals = (headers: Readonly<Record<string, string>>): Signals => readSignals(Object.entries(headers).flat())

describe('traceparent', () => {
  test('is read', () => {
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toMatchObject({ traceId: TRACE, spanId: SPAN, sampled: true })
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled).toBe(false)
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-03`)).toMatchObject({ sampled: true, random: true })
  })

  test.each([
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['a trace id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span id of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['too short', `00-${TRACE}-${SPAN}-1`],
    ['more than version 00 has', `00-${TRACE}-${SPAN}-01-extra`],
    ['a higher version without a dash', `01-${TRACE}-${SPAN}-01extra`],
    ['other separators', `00_${TRACE}_${SPAN}_01`],
    ['no hex', `00-${TRACE.replace('4', 'g')}-${SPAN}-01`],
    ['beyond ASCII', `00-${TRACE.replace('4', 'é')}-${SPAN}-01`],
    ['nothing', ''],
  ])('%s is as good as none', (_name, text) => {
    expect(parseTraceparent(text)).toBeNull()
  })

  test('of a higher version the part that is known counts', () => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-ever`)).toMatchObject({ traceId: TRACE, sampled: true })
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01`)).toMatchObject({ spanId: SPAN })
  })
})

describe('b3', () => {
  test('single: every form', () => {
    expect(parseB3Single(`${TRACE}-${SPAN}-1`)).toMatchObject({ traceId: TRACE, spanId: SPAN, sampled: true })
    expect(parseB3Single(`${TRACE}-${SPAN}-0-${SPAN}`)?.sampled).toBe(false)
    expect(parseB3Single(`${TRACE}-${SPAN}-d`)).toMatchObject({ sampled: true, debug: true })
    expect(parseB3Single(`${TRACE}-${SPAN}`)?.sampled).toBeUndefined()
    expect(parseB3Single('0')).toMatchObject({ traceId: '', sampled: false })
    expect(parseB3Single('1')).toMatchObject({ traceId: '', sampled: true })
  })

  test('ids of 16 characters are padded, those in upper case lowered', () => {
    const context = parseB3Single(`${SPAN.toUpperCase()}-${SPAN}-1`)
    expect(context).toMatchObject({ traceId: `${'0'.repeat(16)}${SPAN}`, short: true })
  })

  test.each(['', '2', `${TRACE}-${SPAN}-x`, `${TRACE}-${SPAN}-1-zz`, `${TRACE}-`, `-${SPAN}-1`, `${TRACE}${SPAN}-1`])(
    'not valid: %j',
    (text) => expect(parseB3Single(text)).toBeNull(),
  )

  test('multi', () => {
    const ids = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN }
    const sampled = (more: Record<string, string>) => parseB3(signals({ ...ids, ...more }))
    expect(sampled({ 'x-b3-sampled': '1' })).toMatchObject({ traceId: TRACE, sampled: true, form: 'b3multi' })
    expect(sampled({ 'x-b3-sampled': 'false' })?.sampled).toBe(false)
    expect(sampled({})?.sampled).toBeUndefined()
    expect(sampled({ 'x-b3-sampled': '0', 'x-b3-flags': '1' })).toMatchObject({ sampled: true, debug: true })
    expect(parseB3(signals({ 'x-b3-sampled': '0' }))).toMatchObject({ traceId: '', sampled: false })
    expect(parseB3(signals({ 'x-b3-traceid': TRACE }))).toBeNull()
    expect(parseB3(signals({ 'x-b3-traceid': 'what', 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' }))).toBeNull()
  })

  test('a header that stands twice is absent', () => {
    const line = ['b3', `${TRACE}-${SPAN}-1`]
    expect(chooseParent(readSignals([...line, ...line]), 'w3c').parent).toBeNull()
  })
})

describe('the parent, when there are several', () => {
  const other = 'a'.repeat(32)
  const w3c = { traceparent: `00-${TRACE}-${SPAN}-01` }

  test('is of the family that the mesh writes; another trace is linked', () => {
    const both = signals({ ...w3c, b3: `${other}-${SPAN}-1` })
    expect(chooseParent(both, 'w3c')).toMatchObject({ parent: { traceId: TRACE }, other: { traceId: other } })
    expect(chooseParent(both, 'b3')).toMatchObject({ parent: { traceId: other }, other: { traceId: TRACE } })
  })

  test('has no link to itself', () => {
    const both = signals({ ...w3c, b3: `${TRACE}-1111111111111111-1` })
    expect(chooseParent(both, 'b3')).toMatchObject({ parent: { spanId: '1111111111111111' }, other: null })
  })

  test('is the only valid one, whatever the mesh writes', () => {
    expect(chooseParent(signals({ ...w3c, b3: 'broken' }), 'b3').parent?.form).toBe('w3c')
    expect(chooseParent(signals({ traceparent: 'broken', b3: `${TRACE}-${SPAN}-1` }), 'w3c').parent?.form).toBe('b3')
  })
})

const HEX_32 = fc.stringMatching(/^[0-9a-f]{32}$/).filter((id) => !/^0+$/.test(id))
const HEX_16 = fc.stringMatching(/^[0-9a-f]{16}$/).filter((id) => !/^0+$/.test(id))

test('whatever is valid is read as it was written', () => {
  fc.assert(
    fc.property(HEX_32, HEX_16, fc.boolean(), (traceId, spanId, sampled) => {
      const flag = sampled ? '1' : '0'
      for (const read of [
        parseTraceparent(`00-${traceId}-${spanId}-0${flag}`),
        parseB3Single(`${traceId}-${spanId}-${flag}`),
        parseB3(signals({ 'x-b3-traceid': traceId, 'x-b3-spanid': spanId, 'x-b3-sampled': flag })),
      ])
        expect(read).toMatchObject({ traceId, spanId, sampled })
    }),
  )
})

test('whatever comes in, nothing throws, and what is taken is well formed', () => {
  const piece = fc.oneof(
    fc.constantFrom('00', 'ff', '-', '0', '1', 'd', TRACE, SPAN, '0'.repeat(32), TRACE.toUpperCase(), ''),
    fc.string({ maxLength: 40, unit: 'binary' }),
  )
  const value = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(''))
  const name = fc.constantFrom('traceparent', 'b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-sampled', 'x-b3-flags')
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), fc.constantFrom('w3c', 'b3'), (headers, prefer) => {
      const { parent, other } = chooseParent(readSignals(headers.flat()), prefer)
      for (const context of [parent, other]) {
        if (context === null || context.traceId === '') continue
        expect(context.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/)
        expect(context.spanId).toMatch(/^(?!0{16})[0-9a-f]{16}$/)
      }
    }),
    { numRuns: 2000 },
  )
})
