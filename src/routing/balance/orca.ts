/** Load reports that come with answers (ORCA, xds.data.orca.v3.OrcaLoadReport): in a header, as JSON, text or protobuf. */
import type { LoadSignals } from './cluster-memory.ts'

export const ORCA_HEADER = 'endpoint-load-metrics'
export const ORCA_BIN_HEADER = 'endpoint-load-metrics-bin'
/** Longer reports are not read, characters. */
const MAX_CHARS = 8192
/** Numbers of one report that are read. */
const MAX_FIELDS = 64

type Numbers = Map<string, number>

/** A report's numbers by name; those of `named_metrics` by their own. Null = it is none. Never throws. */
export function parseOrca(headers: Readonly<Record<string, string | string[] | undefined>>): Numbers | null {
  const text = headers[ORCA_HEADER]
  if (typeof text === 'string' && text.length <= MAX_CHARS) {
    if (text.startsWith('JSON')) return fromJson(text.slice(4))
    if (text.startsWith('TEXT')) return fromText(text.slice(4))
    if (text.startsWith('BIN')) return fromBytes(text.slice(3).trim())
    return null
  }
  const bytes = headers[ORCA_BIN_HEADER]
  return typeof bytes === 'string' && bytes.length <= MAX_CHARS ? fromBytes(bytes) : null
}

function put(into: Numbers, name: string, value: number): void {
  if (into.size < MAX_FIELDS && Number.isFinite(value)) into.set(name, value)
}

function fromJson(text: string): Numbers | null {
  let report: unknown
  try {
    report = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof report !== 'object' || report === null) return null
  const numbers: Numbers = new Map()
  for (const [name, value] of Object.entries(report)) {
    if (typeof value === 'number') put(numbers, snake(name), value)
    else if (snake(name) === 'named_metrics' && typeof value === 'object' && value !== null)
      for (const [own, inner] of Object.entries(value)) if (typeof inner === 'number') put(numbers, own, inner)
  }
  return numbers
}

/** protobuf's JSON has camel case names, and most writers keep those of the file. */
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

function fromText(text: string): Numbers {
  const numbers: Numbers = new Map()
  for (const pair of text.split(',')) {
    const at = pair.indexOf('=') < 0 ? pair.indexOf(':') : pair.indexOf('=')
    if (at <= 0) continue
    const name = pair.slice(0, at).trim()
    put(numbers, name.startsWith('named_metrics.') ? name.slice(14) : name, Number(pair.slice(at + 1)))
  }
  return numbers
}

/** Fields of OrcaLoadReport that are doubles, and its maps from names to doubles. */
const DOUBLES: Readonly<Record<number, string>> = {
  1: 'cpu_utilization',
  2: 'mem_utilization',
  6: 'rps_fractional',
  7: 'eps',
  9: 'application_utilization',
}
const NAMED_METRICS = 8
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

function fromBytes(base64: string): Numbers | null {
  const numbers: Numbers = new Map()
  const ok = fields(Buffer.from(base64, 'base64'), (field, value) => {
    const name = DOUBLES[field]
    if (typeof value === 'number') {
      if (name !== undefined) put(numbers, name, value)
    } else if (field === NAMED_METRICS) {
      let key = ''
      let metric = 0
      fields(value, (part, inner) => {
        if (part === 1 && typeof inner !== 'number') key = inner.toString('utf8')
        if (part === 2 && typeof inner === 'number') metric = inner
      })
      put(numbers, key, metric)
    }
  })
  return ok ? numbers : null
}

/** Walks over the fields of a protobuf message: doubles and byte fields are handed on, others passed by. False = broken. */
function fields(bytes: Buffer, on: (field: number, value: number | Buffer) => void): boolean {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) return -1
      if (shift < 49) value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    return -1
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag < 8) return false
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case VARINT:
        if (varint() < 0) return false
        break
      case FIXED64:
        if (at + 8 > bytes.length) return false
        on(field, bytes.readDoubleLE(at))
        at += 8
        break
      case BYTES: {
        const length = varint()
        if (length < 0 || at + length > bytes.length) return false
        on(field, bytes.subarray(at, at + length))
        at += length
        break
      }
      case FIXED32:
        at += 4
        break
      default:
        return false
    }
  }
  return at === bytes.length
}

/** Names under which engines report what the scorers know (vLLM and Triton with ORCA; names as in their /metrics, or without the prefix). */
const QUEUE_NAMES = ['vllm:num_requests_waiting', 'num_requests_waiting', 'queue', 'sglang:num_queue_reqs']
const RUNNING_NAMES = ['vllm:num_requests_running', 'num_requests_running', 'sglang:num_running_reqs']
const KV_NAMES = [
  'vllm:kv_cache_usage_perc',
  'kv_cache_usage_perc',
  'vllm:gpu_cache_usage_perc',
  'kv_cache_utilization',
  'sglang:token_usage',
]

const first = (numbers: Numbers, names: readonly string[]): number | undefined => {
  for (const name of names) {
    const value = numbers.get(name)
    if (value !== undefined) return value
  }
  return undefined
}

/** What a report says that the scorers know. Application utilisation counts before that of the CPU, as gRPC and Envoy do it. */
export function signalsOf(numbers: Numbers): LoadSignals {
  const kv = first(numbers, KV_NAMES)
  const utilisation = numbers.get('application_utilization')
  return {
    queue: first(numbers, QUEUE_NAMES),
    running: first(numbers, RUNNING_NAMES),
    kv: kv === undefined ? undefined : Math.min(1, kv),
    utilisation: utilisation !== undefined && utilisation > 0 ? utilisation : numbers.get('cpu_utilization'),
  }
}
