import * as conventions from '@opentelemetry/semantic-conventions/incubating'
import { expect, test } from 'vitest'
import { A, H, HTTP_BOUNDS, LABELS, METRICS, OTEL_METRICS, TOKEN_BOUNDS, labelOf, providerName } from './semconv.ts'
import { DURATION_BOUNDS } from './metrics.ts'

/** Names that OpenTelemetry's own package has, without those it has only to say that they are gone. */
const known = (prefix: string): ReadonlySet<unknown> =>
  new Set(Object.entries(conventions).flatMap(([name, value]) => (name.startsWith(prefix) ? [value] : [])))

test('AC-TR-6 every name in the table is one of the conventions', () => {
  const attributes = known('ATTR_')
  expect(Object.values(A).filter((name) => !attributes.has(name))).toEqual([])
  expect(new Set(Object.values(A)).size).toBe(Object.values(A).length)
  const metrics = known('METRIC_')
  expect(
    Object.values(OTEL_METRICS)
      .map(({ name }) => name)
      .filter((name) => !metrics.has(name)),
  ).toEqual([])
})

test('the old names are not among them, and ours are nobody else’s', () => {
  expect(Object.values(A)).not.toContain('gen_ai.system')
  expect(Object.values(H).filter((name) => !name.startsWith('heddle.'))).toEqual([])
})

test('providers have the conventions’ names; others their own', () => {
  const values = known('GEN_AI_PROVIDER_NAME_VALUE_')
  for (const type of ['openai', 'anthropic', 'azure', 'gemini', 'mistral', 'xai', 'groq', 'bedrock', 'vertex'])
    expect(values).toContain(providerName(type, 'mine'))
  expect(providerName('openai_compatible', 'llama-in-house')).toBe('llama-in-house')
  expect(providerName('ollama', 'local')).toBe('ollama')
})

test('AC-TR-6 the advised edges, exactly', () => {
  expect(DURATION_BOUNDS).toEqual(Array.from({ length: 14 }, (_, i) => Number((0.01 * 2 ** i).toFixed(2))))
  expect(TOKEN_BOUNDS).toEqual(Array.from({ length: 14 }, (_, i) => 4 ** i))
  expect(HTTP_BOUNDS).toEqual([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10])
})

test('a metric’s name in Prometheus is its name with its unit', () => {
  for (const name of Object.values(METRICS)) {
    const { name: otel, unit } = OTEL_METRICS[name]!
    expect(name).toBe(labelOf(otel) + (unit === 's' ? '_seconds' : ''))
  }
  for (const [label, attribute] of Object.entries(LABELS)) expect(labelOf(attribute)).toBe(label)
})
