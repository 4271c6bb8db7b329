import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseOrca, signalsOf } from './orca.ts'

const header = (text: string): Record<string, string> => ({ 'endpoint-load-metrics': text })
const double = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(9, (field << 3) | 1)
  bytes.writeDoubleLE(value, 1)
  return bytes
}

describe('load reports', () => {
  test('JSON, as vLLM writes it, and with the names of protobuf’s JSON', () => {
    const vllm = parseOrca(header('JSON {"named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 3}}'))!
    expect(signalsOf(vllm)).toMatchObject({ queue: 3, kv: 0.4 })
    const proto = parseOrca(header('JSON {"applicationUtilization":0.9,"cpuUtilization":0.3}'))!
    expect(signalsOf(proto).utilisation).toBe(0.9)
  })

  test('text, and without an application’s utilisation that of the CPU', () => {
    const report = parseOrca(header('TEXT cpu_utilization=0.3,named_metrics.num_requests_waiting=7,x=y'))!
    expect(signalsOf(report)).toMatchObject({ queue: 7, utilisation: 0.3 })
  })

  test('protobuf, in either header', () => {
    const entry = Buffer.concat([Buffer.from([10, 5]), Buffer.from('queue'), double(2, 4)])
    const bytes = Buffer.concat([
      double(9, 0.75),
      Buffer.from([24, 1]),
      Buffer.from([66, entry.length]),
      entry,
    ]).toString('base64')
    for (const headers of [header(`BIN ${bytes}`), { 'endpoint-load-metrics-bin': bytes }])
      expect(signalsOf(parseOrca(headers)!)).toMatchObject({ queue: 4, utilisation: 0.75 })
  })

  test('nothing there, or too long, is no report', () => {
    expect(parseOrca({})).toBeNull()
    expect(parseOrca(header(`TEXT ${'a=1,'.repeat(5000)}`))).toBeNull()
    expect(parseOrca(header('JSON 5'))).toBeNull()
  })

  test('whatever a backend sends, nothing is thrown and the numbers are bounded', () => {
    const text = fc.tuple(fc.constantFrom('JSON ', 'TEXT ', 'BIN ', ''), fc.oneof(fc.string(), fc.json()))
    fc.assert(
      fc.property(text, fc.base64String(), ([form, rest], bytes) => {
        for (const headers of [header(form + rest), header(`BIN ${bytes}`), { 'endpoint-load-metrics-bin': bytes }]) {
          const report = parseOrca(headers)
          if (report === null) continue
          expect(report.size).toBeLessThanOrEqual(64)
          signalsOf(report)
        }
      }),
      { numRuns: 500 },
    )
  })
})
