/**
 * The environment variables by which OpenTelemetry is configured everywhere (opentelemetry.io/docs/specs/otel:
 * configuration/sdk-environment-variables, protocol/exporter). Empty is the same as absent. What cannot be used is noted
 * and left out, as the specification wants: a gateway must not fail to start because of its telemetry.
 */
import type { OtlpConfig, SpanBatchConfig, TracingConfig } from '../contracts/config-tracing.ts'

type Env = Readonly<Record<string, string | undefined>>

export interface OtelEnv {
  readonly traces: OtlpConfig | null
  readonly metrics: (OtlpConfig & { readonly intervalMs: number }) | null
  readonly batch: SpanBatchConfig
  readonly sampler: Pick<TracingConfig, 'ratio' | 'parentBased'>
  /** Of OTEL_PROPAGATORS: sent to the mesh besides W3C. */
  readonly inject: TracingConfig['inject']
  readonly resource: Readonly<Record<string, string>>
  readonly notes: readonly string[]
}

/** Of the specification, but for the queue: its 2048 spans are not a second of a busy gateway. */
const MAX_QUEUE = 16_384
const MAX_BATCH = 512
const DELAY_MS = 5000
const TIMEOUT_MS = 10_000
const INTERVAL_MS = 60_000
const PORTS = { grpc: 4317, 'http/protobuf': 4318, 'http/json': 4318 } as const

interface Reader {
  readonly env: Env
  readonly notes: string[]
  readFile(path: string): string
}

type Signal = 'TRACES' | 'METRICS'

const textOf = ({ env }: Pick<Reader, 'env'>, name: string): string => env[name]?.trim() ?? ''

function numberOf(reader: Reader, name: string, least: number, otherwise: number): number {
  const text = textOf(reader, name)
  if (text === '') return otherwise
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  reader.notes.push(`${name} is no whole number from ${least}: ${otherwise} is used`)
  return otherwise
}

/** The signal's own variable, else the one for all; with the name of the one that is set. */
function ofSignal(reader: Reader, signal: Signal, name: string): readonly [value: string, variable: string] {
  const own = `OTEL_EXPORTER_OTLP_${signal}_${name}`
  const all = `OTEL_EXPORTER_OTLP_${name}`
  const value = textOf(reader, own)
  return value === '' ? [textOf(reader, all), all] : [value, own]
}

/** `key=value,key=value`, values percent-encoded (W3C Baggage without properties). */
function pairsOf(reader: Reader, text: string, variable: string): Record<string, string> {
  const pairs: Record<string, string> = {}
  for (const part of text.split(',')) {
    if (part.trim() === '') continue
    const equals = part.indexOf('=')
    const key = part.slice(0, Math.max(0, equals)).trim()
    try {
      if (key === '') throw new TypeError('no key')
      pairs[key] = decodeURIComponent(part.slice(equals + 1).trim())
    } catch {
      // Never the text itself: headers are secrets.
      reader.notes.push(`${variable} holds a pair that is not key=value and was left out`)
    }
  }
  return pairs
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e]*$/

function headersOf(reader: Reader, signal: Signal): Record<string, string> {
  const [text, variable] = ofSignal(reader, signal, 'HEADERS')
  const pairs = Object.entries(pairsOf(reader, text, variable))
  const fit = pairs.filter(([name, value]) => HEADER_NAME.test(name) && HEADER_VALUE.test(value))
  if (fit.length < pairs.length) reader.notes.push(`${variable} holds what no header can be, and it was left out`)
  return Object.fromEntries(fit.map(([name, value]) => [name.toLowerCase(), value]))
}

/** Text of a file that a variable names; null = none, or it cannot be read. */
function fileOf(reader: Reader, signal: Signal, name: string): string | null {
  const [path, variable] = ofSignal(reader, signal, name)
  if (path === '') return null
  try {
    return reader.readFile(path)
  } catch {
    reader.notes.push(`${variable}: the file cannot be read`)
    return null
  }
}

function protocolOf(reader: Reader, signal: Signal): OtlpConfig['protocol'] {
  const [text, variable] = ofSignal(reader, signal, 'PROTOCOL')
  if (text === 'grpc' || text === 'http/protobuf' || text === 'http/json') return text
  if (text !== '') reader.notes.push(`${variable}: there is no protocol of that name, http/protobuf is used`)
  return 'http/protobuf'
}

/** The path belongs to the signal's own variable as it stands; to the one for all it is appended. */
function endpointOf(reader: Reader, signal: Signal, protocol: OtlpConfig['protocol']): string | null {
  const own = textOf(reader, `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`)
  const all = textOf(reader, 'OTEL_EXPORTER_OTLP_ENDPOINT')
  const text = own === '' ? (all === '' ? `http://localhost:${PORTS[protocol]}` : all) : own
  const insecure = ofSignal(reader, signal, 'INSECURE')[0].toLowerCase() === 'true'
  const withScheme = text.includes('://') ? text : `${insecure ? 'http' : 'https'}://${text}`
  if (!URL.canParse(withScheme)) return null
  const url = new URL(withScheme)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return null
  if (protocol === 'grpc') return url.origin
  if (own === '') url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/${signal.toLowerCase()}`
  return url.href
}

/** An exporter is wanted when it is named, or when somebody says where it is; not by default. */
function isWanted(reader: Reader, signal: Signal): boolean {
  const named = textOf(reader, `OTEL_${signal}_EXPORTER`)
  if (named === '') return ofSignal(reader, signal, 'ENDPOINT')[0] !== ''
  const names = named.split(',').map((name) => name.trim())
  // Prometheus is there without being asked for.
  const unknown = names.filter((name) => !['otlp', 'none', 'prometheus'].includes(name))
  if (unknown.length > 0) reader.notes.push(`OTEL_${signal}_EXPORTER names an exporter that Heddle has not`)
  return names.includes('otlp')
}

function otlpOf(reader: Reader, signal: Signal): OtlpConfig | null {
  if (!isWanted(reader, signal)) return null
  const protocol = protocolOf(reader, signal)
  const endpoint = endpointOf(reader, signal, protocol)
  if (endpoint === null) {
    reader.notes.push(`${ofSignal(reader, signal, 'ENDPOINT')[1]} is no http or https URL: nothing is exported`)
    return null
  }
  const [compression, variable] = ofSignal(reader, signal, 'COMPRESSION')
  if (compression !== '' && compression !== 'gzip' && compression !== 'none')
    reader.notes.push(`${variable}: only gzip and none are known`)
  const cert = fileOf(reader, signal, 'CLIENT_CERTIFICATE')
  const key = fileOf(reader, signal, 'CLIENT_KEY')
  const timeout = ofSignal(reader, signal, 'TIMEOUT')[1]
  return {
    protocol,
    endpoint,
    headers: headersOf(reader, signal),
    timeoutMs: numberOf(reader, timeout, 1, TIMEOUT_MS),
    compression: compression === 'gzip' ? 'gzip' : 'none',
    ca: fileOf(reader, signal, 'CERTIFICATE'),
    clientCert: cert === null || key === null ? null : { cert, key },
  }
}

const SAMPLERS: Readonly<Record<string, { readonly ratio: number | null; readonly parentBased: boolean }>> = {
  always_on: { ratio: 1, parentBased: false },
  always_off: { ratio: 0, parentBased: false },
  traceidratio: { ratio: null, parentBased: false },
  parentbased_always_on: { ratio: 1, parentBased: true },
  parentbased_always_off: { ratio: 0, parentBased: true },
  parentbased_traceidratio: { ratio: null, parentBased: true },
}

function samplerOf(reader: Reader): OtelEnv['sampler'] {
  const name = textOf(reader, 'OTEL_TRACES_SAMPLER')
  const sampler = SAMPLERS[name]
  if (name !== '' && sampler === undefined)
    reader.notes.push('OTEL_TRACES_SAMPLER names a sampler that Heddle has not: parentbased_traceidratio is used')
  const text = textOf(reader, 'OTEL_TRACES_SAMPLER_ARG')
  const arg = Number(text === '' ? 1 : text)
  const fits = arg >= 0 && arg <= 1
  if (!fits) reader.notes.push('OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1: 1 is used')
  return { ratio: sampler?.ratio ?? (fits ? arg : 1), parentBased: sampler?.parentBased ?? true }
}

const PROPAGATORS = ['tracecontext', 'baggage', 'b3', 'b3multi', 'none']

function propagatorsOf(reader: Reader): OtelEnv['inject'] {
  const names = textOf(reader, 'OTEL_PROPAGATORS')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const unknown = names.filter((name) => !PROPAGATORS.includes(name))
  if (unknown.length > 0)
    reader.notes.push(`OTEL_PROPAGATORS: ${unknown.length} of its names are not known here; the others are used`)
  return names.filter((name) => name === 'b3' || name === 'b3multi')
}

/**
 * What Istio and the OpenTelemetry operator take for a service's name, in their order; the chart fills the variables by
 * the downward API, so that the proxy's spans and ours show as one service.
 */
const NAME_SOURCES = [
  'OTEL_SERVICE_NAME',
  'HEDDLE_POD_SERVICE_NAME_ANNOTATION',
  'HEDDLE_POD_LABEL_INSTANCE',
  'HEDDLE_POD_LABEL_NAME',
  'HEDDLE_POD_OWNER_NAME',
]

const K8S: readonly (readonly [variable: string, attribute: string])[] = [
  ['HEDDLE_POD_NAMESPACE', 'k8s.namespace.name'],
  ['HEDDLE_POD_NAME', 'k8s.pod.name'],
  ['HEDDLE_POD_UID', 'k8s.pod.uid'],
  ['HEDDLE_NODE_NAME', 'k8s.node.name'],
]

function resourceOf(reader: Reader): Record<string, string> {
  const given = pairsOf(reader, textOf(reader, 'OTEL_RESOURCE_ATTRIBUTES'), 'OTEL_RESOURCE_ATTRIBUTES')
  const [first = '', ...others] = NAME_SOURCES.map((variable) => textOf(reader, variable))
  const name = [first, given['service.name'] ?? '', ...others].find((text) => text !== '') ?? 'heddle'
  const pod = K8S.map(([variable, attribute]) => [attribute, textOf(reader, variable)] as const)
  return {
    ...Object.fromEntries(pod.filter(([, value]) => value !== '')),
    ...given,
    'service.name': name,
  }
}

/** readFile throws when there is no such file. Never throws itself. */
export function readOtelEnv(env: Env, readFile: (path: string) => string): OtelEnv {
  const reader: Reader = { env, readFile, notes: [] }
  const off = textOf(reader, 'OTEL_SDK_DISABLED').toLowerCase() === 'true'
  const metrics = off ? null : otlpOf(reader, 'METRICS')
  const maxQueue = numberOf(reader, 'OTEL_BSP_MAX_QUEUE_SIZE', 1, MAX_QUEUE)
  return {
    traces: off ? null : otlpOf(reader, 'TRACES'),
    metrics:
      metrics === null
        ? null
        : { ...metrics, intervalMs: numberOf(reader, 'OTEL_METRIC_EXPORT_INTERVAL', 100, INTERVAL_MS) },
    batch: {
      maxQueue,
      maxBatch: Math.min(maxQueue, numberOf(reader, 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 1, MAX_BATCH)),
      delayMs: numberOf(reader, 'OTEL_BSP_SCHEDULE_DELAY', 1, DELAY_MS),
    },
    sampler: samplerOf(reader),
    inject: propagatorsOf(reader),
    resource: resourceOf(reader),
    // Both signals read the variables for all.
    notes: [...new Set(reader.notes)],
  }
}
