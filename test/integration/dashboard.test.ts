// The dashboard in deploy/grafana: what its queries name is there, with those labels.
import { globSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chat } from '../support/client.ts'
import type { Gateway } from '../support/gateway.ts'
import { startGateway } from '../support/gateway.ts'

interface Panel {
  readonly title: string
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const root = new URL('../../', import.meta.url)
const dashboard = JSON.parse(readFileSync(new URL('deploy/grafana/heddle.json', root), 'utf8')) as {
  readonly panels: readonly Panel[]
}
const QUERIES = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => [title, expr, legendFormat] as const),
)

/** Every metric of the sources: those of rare events do not show in a quiet gateway. */
const DECLARED = new Set(
  globSync('src/**/*.ts', { cwd: root })
    .filter((path) => !path.endsWith('.test.ts'))
    .flatMap((path) => [
      ...readFileSync(new URL(path, root), 'utf8').matchAll(/'((?:heddle|process|gen_ai|http)_[a-z_]+)'/g),
    ])
    .map(([, name]) => name!),
)

/** Added by whoever scrapes. */
const BY_PROMETHEUS = new Set(['job', 'instance', 'le'])

const metricsIn = (expr: string): readonly string[] => [
  ...new Set([...expr.matchAll(/\b((?:heddle|process|gen_ai|http)_[a-z_]+)\b(?=[{[])/g)].map(([, name]) => name!)),
]
const labelsIn = (expr: string, legend: string): readonly string[] => [
  ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(',').map((label) => label.trim())),
  ...[...expr.matchAll(/[{,]\s*([a-z_]+)\s*(?:=~|!=|=)/g)].map(([, label]) => label!),
  ...[...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!),
]

let gateway: Gateway
const shown = new Map<string, Set<string>>()

beforeAll(async () => {
  gateway =
    await startGateway(`providers: { sim: {}, dead: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1" } }
models: { m: { targets: [{ provider: dead, model: x, priority: 0 }, { provider: sim, model: y, priority: 1 }] } }`)
  await chat(gateway.url, 'm')
  await chat(gateway.url, 'm', { stream: true })
  for (const [, name, labels] of (await gateway.metrics()).matchAll(/^([a-z_]+)(?:\{(.*)\})? \S+/gm)) {
    const known = shown.get(name!) ?? new Set()
    for (const [, label] of (labels ?? '').matchAll(/(\w+)="/g)) known.add(label!)
    shown.set(name!, known)
  }
})
afterAll(() => gateway.stop())

test('there are queries, and the metrics of a gateway at work are among them', () => {
  expect(QUERIES.length).toBeGreaterThan(20)
  expect([...shown.keys()]).toEqual(expect.arrayContaining(['heddle_requests_total', 'heddle_attempts_total']))
})

test.each(QUERIES)('%s: %s', (_title, expr, legend) => {
  const names = metricsIn(expr)
  expect(names.length).toBeGreaterThan(0)
  for (const name of names) {
    const family = name.replace(/_(?:bucket|sum|count)$/, '')
    expect(DECLARED.has(name) || DECLARED.has(family), `${name} is a metric of Heddle`).toBe(true)
    const labels = shown.get(name)
    if (labels === undefined) continue
    const wanted = labelsIn(expr, legend).filter((label) => !BY_PROMETHEUS.has(label))
    expect(wanted.filter((label) => !labels.has(label))).toEqual([])
  }
})
