import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FamilySnapshot } from './metrics.ts'
import { MetricRegistry, mergeSnapshots, renderMetrics } from './metrics.ts'

const registryOf = (fill: (r: MetricRegistry) => void): FamilySnapshot[] => {
  const registry = new MetricRegistry()
  fill(registry)
  return registry.snapshot()
}

test('text in both forms', () => {
  const families = registryOf((r) => {
    r.counter('a_total', 'Counts.', { x: 'y' }).add(2)
    r.gauge('b', 'Is.').set(-1.5)
    const h = r.histogram('c_seconds', 'Took.', [0.1, 1], { x: 'y' })
    for (const value of [0.1, 0.5, 5]) h.observe(value)
  })
  expect(renderMetrics(families, false)).toBe(
    '# HELP a_total Counts.\n# TYPE a_total counter\na_total{x="y"} 2\n# HELP b Is.\n# TYPE b gauge\nb -1.5\n# HELP c_seconds Took.\n# TYPE c_seconds histogram\n' +
      'c_seconds_bucket{x="y",le="0.1"} 1\nc_seconds_bucket{x="y",le="1"} 2\nc_seconds_bucket{x="y",le="+Inf"} 3\nc_seconds_sum{x="y"} 5.6\nc_seconds_count{x="y"} 3\n',
  )
  const open = renderMetrics(families, true)
  expect(open).toContain('# TYPE a counter\na_total{x="y"} 2\n')
  expect(open.endsWith('# EOF\n')).toBe(true)
})

test('a label can hold anything and stays on its line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (value) => {
      const text = renderMetrics(
        registryOf((r) => r.counter('a_total', 'h', { x: value }).add(1)),
        false,
      )
      const lines = text.split('\n')
      expect(lines).toHaveLength(4)
      const inside = /^a_total\{x="(.*)"\} 1$/s.exec(lines[2]!)?.[1]
      expect(inside?.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))).toBe(value)
    }),
  )
})

test('merging adds up what workers counted, series by series', () => {
  const counts = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(100)), { maxLength: 10 })
  fc.assert(
    fc.property(fc.array(counts, { maxLength: 4 }), (workers) => {
      const snapshots = workers.map((list) =>
        registryOf((r) => {
          for (const [label, n] of list) {
            r.counter('n_total', 'h', { label }).add(n)
            r.histogram('h', 'h', [10, 50], { label }).observe(n)
          }
        }),
      )
      const text = renderMetrics(mergeSnapshots(snapshots), false)
      for (const label of ['a', 'b', 'c']) {
        const all = workers.flat().filter(([l]) => l === label)
        if (all.length === 0) expect(text).not.toContain(`label="${label}"`)
        else {
          expect(text).toContain(`n_total{label="${label}"} ${all.reduce((sum, [, n]) => sum + n, 0)}\n`)
          expect(text).toContain(`h_bucket{label="${label}",le="10"} ${all.filter(([, n]) => n <= 10).length}\n`)
          expect(text).toContain(`h_count{label="${label}"} ${all.length}\n`)
        }
      }
    }),
  )
})

test('merging changes no worker’s own snapshot', () => {
  const one = registryOf((r) => r.histogram('h', 'h', [1]).observe(1))
  const before = JSON.stringify(one)
  mergeSnapshots([one, one])
  expect(JSON.stringify(one)).toBe(before)
})

test('the number of series is bounded', () => {
  const [family] = registryOf((r) => {
    for (let i = 0; i < 5000; i++) r.counter('n_total', 'h', { model: `m${i}` }).add(1)
  })
  expect(family!.samples.length).toBeLessThanOrEqual(2001)
  expect(family!.samples.reduce((sum, s) => sum + s.value, 0)).toBe(5000)
  expect(family!.samples.at(-1)).toMatchObject({ labels: { model: 'other' }, value: 3000 })
})

test('exemplars: of traced measurements only, in OpenMetrics only, in their own bucket, the latest of all workers', () => {
  const worker = (traceId: string, at: number): FamilySnapshot[] =>
    registryOf((r) => {
      const h = r.histogram('c_seconds', 'Took.', [0.1, 1])
      h.observe(0.05)
      h.observeTraced(0.5, { traceId, spanId: 'b7' }, at)
      h.observeTraced(7, { traceId, spanId: 'b8' }, at)
    })
  const merged = mergeSnapshots([worker('old', 1000), worker('new', 2500), worker('older', 500)])
  expect(renderMetrics(merged, true)).toContain(
    [
      'c_seconds_bucket{le="0.1"} 3',
      'c_seconds_bucket{le="1"} 6 # {trace_id="new",span_id="b7"} 0.5 2.5',
      'c_seconds_bucket{le="+Inf"} 9 # {trace_id="new",span_id="b8"} 7 2.5',
    ].join('\n'),
  )
  expect(renderMetrics(merged, false)).not.toContain('trace_id')
  const untraced = registryOf((r) => r.histogram('c_seconds', 'Took.', [0.1]).observe(1))
  expect(renderMetrics(mergeSnapshots([untraced, worker('one', 1)]), true)).toContain('trace_id="one"')
  expect(renderMetrics(mergeSnapshots([untraced, untraced]), true)).not.toContain('trace_id')
})
