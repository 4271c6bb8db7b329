import { describe, expect, test } from 'vitest'
import { readOtelEnv } from './otel-env.ts'
import { maskTracing } from './mask-tracing.ts'

const noFile = (path: string): string => {
  throw new Error(`there is no ${path}`)
}
const read = (env: Readonly<Record<string, string>>) => readOtelEnv(env, noFile)

describe('exporters', () => {
  test('nothing is exported unless somebody says where', () => {
    const { traces, metrics, notes } = read({})
    expect([traces, metrics, notes]).toEqual([null, null, []])
  })

  test('one endpoint for all gets the path of each signal, a path of its own kept in front', () => {
    const { traces, metrics } = read({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/otlp/' })
    expect(traces?.endpoint).toBe('http://collector:4318/otlp/v1/traces')
    expect(metrics?.endpoint).toBe('http://collector:4318/otlp/v1/metrics')
    expect(traces?.protocol).toBe('http/protobuf')
  })

  test('the endpoint of one signal stands as it is, and is wanted alone', () => {
    const { traces, metrics } = read({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector/in' })
    expect([traces?.endpoint, metrics]).toEqual(['http://collector/in', null])
  })

  test('gRPC takes the origin; a name without a scheme is TLS unless insecure', () => {
    const env = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }
    expect(read(env).traces?.endpoint).toBe('https://collector:4317')
    expect(read({ ...env, OTEL_EXPORTER_OTLP_INSECURE: 'true' }).traces?.endpoint).toBe('http://collector:4317')
    expect(read({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }).traces?.endpoint).toBe(
      'http://localhost:4317',
    )
  })

  test('`none` and the switch for all turn it off', () => {
    const at = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }
    expect(read({ ...at, OTEL_TRACES_EXPORTER: 'none' }).traces).toBeNull()
    expect(read({ ...at, OTEL_SDK_DISABLED: 'TRUE' })).toMatchObject({ traces: null, metrics: null })
  })

  test('the signal’s own settings are stronger', () => {
    const { traces, metrics } = read({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318',
      OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Bearer%20abc, x-a = 1',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-b=2',
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
      OTEL_EXPORTER_OTLP_METRICS_TIMEOUT: '700',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_METRIC_EXPORT_INTERVAL: '1000',
    })
    expect(traces?.headers).toEqual({ 'x-b': '2' })
    expect(metrics?.headers).toEqual({ authorization: 'Bearer abc', 'x-a': '1' })
    expect([traces?.timeoutMs, metrics?.timeoutMs, metrics?.intervalMs]).toEqual([500, 700, 1000])
    expect(traces?.compression).toBe('gzip')
  })

  test('certificates are read; a file that is not there is noted', () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c', OTEL_EXPORTER_OTLP_CERTIFICATE: '/ca.pem' }
    expect(readOtelEnv(env, (path) => `text of ${path}`).traces?.ca).toBe('text of /ca.pem')
    const missing = read(env)
    expect(missing.traces?.ca).toBeNull()
    expect(missing.notes.join()).toContain('OTEL_EXPORTER_OTLP_CERTIFICATE')
  })
})

test('what cannot be used is noted without being quoted, and the rest is kept', () => {
  const { traces, notes, inject, sampler, batch } = read({
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318',
    OTEL_EXPORTER_OTLP_HEADERS: 'sk-secret,x-ok=1,bad name=sk-secret,x-line=a%0Asecret',
    OTEL_PROPAGATORS: 'tracecontext,xray-secret,b3multi',
    OTEL_TRACES_SAMPLER: 'jaeger_remote',
    OTEL_TRACES_SAMPLER_ARG: '2',
    OTEL_BSP_SCHEDULE_DELAY: 'soon',
  })
  expect(traces?.headers).toEqual({ 'x-ok': '1' })
  expect(inject).toEqual(['b3multi'])
  expect(sampler).toEqual({ ratio: 1, parentBased: true })
  expect(batch.delayMs).toBe(5000)
  expect(notes).toHaveLength(6)
  expect(notes.join()).not.toContain('secret')
})

test('samplers', () => {
  const sampler = (name: string, arg = '') => read({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: arg }).sampler
  expect(sampler('')).toEqual({ ratio: 1, parentBased: true })
  expect(sampler('', '0.25')).toEqual({ ratio: 0.25, parentBased: true })
  expect(sampler('always_off')).toEqual({ ratio: 0, parentBased: false })
  expect(sampler('traceidratio', '0.1')).toEqual({ ratio: 0.1, parentBased: false })
  expect(sampler('parentbased_always_on', '0.1')).toEqual({ ratio: 1, parentBased: true })
})

describe('the service’s name', () => {
  const chain = {
    OTEL_SERVICE_NAME: 'by-variable',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=by-attribute,a=b%20c',
    HEDDLE_POD_SERVICE_NAME_ANNOTATION: 'by-annotation',
    HEDDLE_POD_LABEL_INSTANCE: 'by-instance',
    HEDDLE_POD_LABEL_NAME: 'by-name',
    HEDDLE_POD_OWNER_NAME: 'by-owner',
  }
  test('comes from the first of the chain that says one', () => {
    const rest: Record<string, string> = { ...chain }
    const names = Object.keys(chain).map((variable) => {
      const name = read(rest).resource['service.name']
      delete rest[variable]
      return name
    })
    expect(names).toEqual(['by-variable', 'by-attribute', 'by-annotation', 'by-instance', 'by-name', 'by-owner'])
    expect(read({}).resource).toEqual({ 'service.name': 'heddle' })
  })

  test('stands beside the other attributes', () => {
    expect(read({ ...chain, HEDDLE_POD_NAMESPACE: 'llm' }).resource).toEqual({
      a: 'b c',
      'k8s.namespace.name': 'llm',
      'service.name': 'by-variable',
    })
  })
})

test('a dump shows where telemetry goes and none of its secrets', () => {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://user:pass-secret@c:4318/x?token=query-secret',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=header-secret',
    OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: 'cert',
    OTEL_EXPORTER_OTLP_CLIENT_KEY: 'key-secret',
  }
  const { sampler, ...otel } = readOtelEnv(env, (path) => path)
  const masked = maskTracing({
    ...sampler,
    ...otel,
    parent: 'auto',
    istioProvider: 'otel',
    baggage: [],
    content: 'off',
  })
  expect(JSON.stringify(otel)).toContain('key-secret')
  expect(JSON.stringify(masked)).not.toContain('secret')
  expect(masked.traces?.endpoint).toContain('@c:4318/x')
  expect(Object.keys(masked.metrics?.headers ?? {})).toEqual(['authorization'])
})
