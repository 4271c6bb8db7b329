import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TracingConfig } from '../../contracts/config-tracing.ts'
import type { MeshKind } from '../../contracts/config-mesh.ts'
import type { RequestTrace, SpanData, Tracing } from '../../contracts/trace.ts'
import { readSignals } from '../../protocol/signals.ts'
import { createTracing } from './tracing.ts'
import { inShare } from './sampler.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const OTHER = '11111111111111111111111111111111'
const SPAN = '00f067aa0ba902b7'
const CONFIG: TracingConfig = {
  parent: 'auto',
  istioProvider: 'otel',
  inject: [],
  baggage: [],
  content: 'off',
  ratio: 1,
  parentBased: true,
  resource: {},
  traces: null,
  batch: { maxQueue: 100, maxBatch: 10, delayMs: 1000 },
  metrics: null,
  notes: [],
}
const written: SpanData[] = []
const tracing = (config: Partial<TracingConfig> = {}, kind: MeshKind = 'none'): Tracing =>
  createTracing({ ...CONFIG, ...config }, kind, {
    sink: { write: (spans) => void written.push(...spans) },
    now: () => 5,
  })
const begin = (t: Tracing, headers: Readonly<Record<string, string>> = {}): RequestTrace =>
  t.begin(readSignals(Object.entries(headers).flat()), undefined)
/** What a mesh backend gets. */
const injected = (trace: RequestTrace, spanId = trace.newSpanId()): Record<string, string> => {
  const to: string[] = []
  trace.injectMesh(to, spanId)
  return Object.fromEntries(Array.from({ length: to.length / 2 }, (_, i) => [to[2 * i]!, to[2 * i + 1]!]))
}

const W3C = { traceparent: `00-${TRACE}-${SPAN}-01` }
const MULTI = { 'x-b3-traceid': OTHER, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' }

describe('TR-1 the parent', () => {
  test('goes by what the proxies of the mesh write', () => {
    const both = { ...W3C, ...MULTI }
    const id = (config: Partial<TracingConfig>, kind: MeshKind) => begin(tracing(config, kind), both).traceId
    expect(id({}, 'none')).toBe(TRACE)
    expect(id({}, 'istio')).toBe(TRACE)
    expect(id({ istioProvider: 'zipkin' }, 'istio')).toBe(OTHER)
    expect(id({ istioProvider: 'zipkin' }, 'linkerd')).toBe(TRACE)
    expect(id({ parent: 'b3' }, 'linkerd')).toBe(OTHER)
    expect(id({ istioProvider: 'zipkin', parent: 'w3c' }, 'istio')).toBe(TRACE)
  })

  test('links the trace that was not chosen', () => {
    const trace = begin(tracing({ istioProvider: 'zipkin' }, 'istio'), { ...W3C, ...MULTI })
    expect(trace.link).toEqual({ traceId: TRACE, spanId: SPAN })
    expect(trace.parentSpanId).toBe(SPAN)
  })
})

describe('TR-2 what goes on', () => {
  test('is W3C with the id of the call, never that of the parent', () => {
    const trace = begin(tracing(), W3C)
    const spanId = trace.newSpanId()
    expect(injected(trace, spanId)).toEqual({ traceparent: `00-${TRACE}-${spanId}-01` })
    expect(spanId).not.toBe(SPAN)
  })

  test('is B3 in the forms that came in or are listed', () => {
    const keys = (config: Partial<TracingConfig>, headers: Record<string, string>) =>
      Object.keys(injected(begin(tracing(config), headers)))
    const multi = ['x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled']
    expect(keys({}, MULTI)).toEqual(['traceparent', ...multi])
    expect(keys({}, { b3: `${TRACE}-${SPAN}-1` })).toEqual(['traceparent', 'b3'])
    expect(keys({ inject: ['b3multi', 'b3'] }, W3C)).toEqual(['traceparent', 'b3', ...multi])
    expect(keys({}, { b3: '0' })).toEqual(['traceparent', 'b3'])
  })

  test('has one call’s id and one decision in all forms', () => {
    const trace = begin(tracing({ inject: ['b3', 'b3multi'] }), MULTI)
    const spanId = trace.newSpanId()
    expect(injected(trace, spanId)).toEqual({
      traceparent: `00-${OTHER}-${spanId}-01`,
      b3: `${OTHER}-${spanId}-1-${trace.callSpanId}`,
      'x-b3-traceid': OTHER,
      'x-b3-spanid': spanId,
      'x-b3-parentspanid': trace.callSpanId,
      'x-b3-sampled': '1',
    })
  })

  test('a trace id of 64 bits stays one in B3 and is padded in W3C; debug goes on as such', () => {
    const headers = { 'x-b3-traceid': SPAN, 'x-b3-spanid': SPAN, 'x-b3-flags': '1' }
    const to = injected(begin(tracing({ ratio: 0 }), headers))
    expect(to['x-b3-traceid']).toBe(SPAN)
    expect(to['x-b3-flags']).toBe('1')
    expect(to['x-b3-sampled']).toBeUndefined()
    expect(to['traceparent']).toMatch(new RegExp(`^00-0{16}${SPAN}-[0-9a-f]{16}-01$`))
  })

  test('tracestate goes on verbatim with its traceparent, and never empty', () => {
    const state = (headers: Record<string, string>) => injected(begin(tracing(), headers))['tracestate']
    expect(state({ ...W3C, tracestate: 'a=1, b=2' })).toBe('a=1, b=2')
    expect(state({ ...W3C, tracestate: '' })).toBeUndefined()
    expect(state({ ...W3C, tracestate: ' ' })).toBeUndefined()
    expect(state({ tracestate: 'a=1' })).toBeUndefined()
    expect(state({ ...W3C, tracestate: `a=${'x'.repeat(5000)}` })).toBeUndefined()
    expect(state({ ...W3C, tracestate: 'a=é' })).toBeUndefined()
  })

  test('baggage goes on by its keys only', () => {
    const headers = { ...W3C, baggage: 'team=red;p=1, user=jane ,other=1,=x,team2=1' }
    expect(injected(begin(tracing({ baggage: ['team', 'user'] }), headers))['baggage']).toBe('team=red;p=1,user=jane')
    expect(injected(begin(tracing(), headers))['baggage']).toBeUndefined()
  })

  test('other tracers’ headers go to the mesh as they are; vendors get traceparent and nothing else', () => {
    const headers = { ...W3C, ...MULTI, 'x-datadog-trace-id': '7', sw8: 'x', baggage: 'a=1', tracestate: 'a=1' }
    const trace = begin(tracing({ baggage: ['a'], inject: ['b3'] }), headers)
    expect(injected(trace)).toMatchObject({ 'x-datadog-trace-id': '7', sw8: 'x' })
    const to: string[] = []
    trace.injectVendor(to, SPAN)
    expect(to).toEqual(['traceparent', `00-${TRACE}-${SPAN}-01`])
  })
})

describe('TR-4 sampling', () => {
  const sampled = (config: Partial<TracingConfig>, headers: Record<string, string> = {}) =>
    begin(tracing(config), headers).sampled
  const no = { traceparent: `00-${TRACE}-${SPAN}-00` }

  test('a parent’s decision is final in both directions', () => {
    expect(sampled({ ratio: 1 }, no)).toBe(false)
    expect(sampled({ ratio: 0 }, W3C)).toBe(true)
    expect(sampled({ ratio: 1 }, { b3: '0' })).toBe(false)
    expect(sampled({ ratio: 0 }, { b3: '1' })).toBe(true)
  })

  test('is ours at the root, when the parent leaves it to us, and without regard to parents when so configured', () => {
    expect(sampled({ ratio: 1 })).toBe(true)
    expect(sampled({ ratio: 0 })).toBe(false)
    expect(sampled({ ratio: 0 }, { b3: `${TRACE}-${SPAN}` })).toBe(false)
    expect(sampled({ ratio: 1 }, { b3: `${TRACE}-${SPAN}` })).toBe(true)
    expect(sampled({ ratio: 1, parentBased: false }, no)).toBe(true)
    expect(sampled({ ratio: 0, parentBased: false }, W3C)).toBe(false)
    expect(sampled({ ratio: 0, parentBased: false }, { b3: `${TRACE}-${SPAN}-d` })).toBe(true)
  })

  test('an unsampled request has ids and keeps nothing', () => {
    const trace = begin(tracing({ ratio: 0 }))
    trace.event('x')
    trace.noteAnswer(Buffer.from('x'))
    expect(trace.events).toEqual([])
    expect(trace.answer.first).toBeNull()
    expect(injected(trace)['traceparent']).toMatch(/-00$/)
  })

  test('a share is that share, and what is in a small one is in each larger one', () => {
    const ids = Array.from({ length: 4000 }, () => begin(tracing()).traceId)
    const share = ids.filter((id) => inShare(id, 0.25)).length / ids.length
    expect(share).toBeGreaterThan(0.2)
    expect(share).toBeLessThan(0.3)
    fc.assert(
      fc.property(fc.constantFrom(...ids), fc.double({ min: 0, max: 1, noNaN: true }), (id, ratio) => {
        if (inShare(id, ratio / 2)) expect(inShare(id, ratio)).toBe(true)
      }),
    )
  })
})

describe('TR-5 request ids', () => {
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[49][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

  test('say by their 14th character whether the trace is sampled', () => {
    const yes = tracing()
    const no = tracing({ ratio: 0 })
    expect(yes.mintId(begin(yes))).toMatch(UUID)
    expect(yes.mintId(begin(yes))[14]).toBe('9')
    expect(no.mintId(begin(no))[14]).toBe('4')
    expect(yes.mintId(begin(yes, { traceparent: `00-${TRACE}-${SPAN}-00` }))[14]).toBe('4')
  })
})

test('events and answers of sampled requests are kept, within bounds', () => {
  const trace = begin(tracing())
  for (let i = 0; i < 1000; i++) trace.event('e', { i })
  expect(trace.events).toHaveLength(64)
  expect(trace.events[0]).toEqual({ name: 'e', at: 5, attributes: { i: 0 } })
  // Backends send their reason, their usage and their end apart from each other.
  for (const text of ['first', 'middle', '-reason', '-usage', '-done']) trace.noteAnswer(Buffer.from(text))
  expect([trace.answer.first, trace.answer.last].map(String)).toEqual(['first', '-reason-usage-done'])
  expect(trace.answer.all).toEqual([])
  const full = begin(tracing({ content: 'full' }))
  for (let i = 0; i < 1000; i++) full.noteAnswer(Buffer.alloc(1000))
  expect(Buffer.concat(full.answer.all).length).toBeLessThan(70_000)
})

test('ids are new each time and never zero', () => {
  const t = tracing()
  const ids = new Set(Array.from({ length: 5000 }, () => begin(t)).flatMap((one) => [one.traceId, one.newSpanId()]))
  expect(ids.size).toBe(10_000)
  for (const id of ids) expect(id).toMatch(/^(?:[0-9a-f]{16}|[0-9a-f]{32})$/)
})
