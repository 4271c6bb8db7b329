/** Reads the metrics that inference servers publish (Prometheus text format 0.0.4, OpenMetrics alike), as far as a picker needs them. */
import type { Engine } from '../../contracts/config-cluster.ts'
import type { LoadSignals } from './cluster-memory.ts'

type Labels = Readonly<Record<string, string>>

const SPACE = 32
const TAB = 9
const HASH = 35
const BRACE = 123
/** Series that are looked at in one answer; more are not. */
const MAX_SERIES = 1000

/** Each sample of a wanted name, in the text's order. Lines that are broken are passed by. One pass, linear. */
export function readSamples(
  text: string,
  wanted: ReadonlySet<string>,
  on: (name: string, labels: Labels, value: number) => void,
): void {
  let series = 0
  for (let from = 0; from < text.length && series < MAX_SERIES;) {
    let end = text.indexOf('\n', from)
    if (end < 0) end = text.length
    if (text.charCodeAt(from) !== HASH) {
      let at = from
      while (at < end && !endsName(text.charCodeAt(at))) at++
      const name = text.slice(from, at)
      if (wanted.has(name)) {
        series++
        readSample(text.slice(at, end), (labels, value) => on(name, labels, value))
      }
    }
    from = end + 1
  }
}

const endsName = (code: number): boolean => code === SPACE || code === TAB || code === BRACE

/** `{a="b",c="d"} 1.5 1700000000`, or without labels. */
function readSample(rest: string, on: (labels: Labels, value: number) => void): void {
  const labels: Record<string, string> = {}
  let at = 0
  if (rest.charCodeAt(0) === BRACE) {
    at = 1
    for (;;) {
      while (rest[at] === ',' || rest[at] === ' ') at++
      if (rest[at] === '}') break
      const equals = rest.indexOf('=', at)
      if (equals < 0 || rest[equals + 1] !== '"') return
      const name = rest.slice(at, equals).trim()
      let value = ''
      at = equals + 2
      let plain = at
      while (at < rest.length && rest[at] !== '"') {
        if (rest[at] === '\\') {
          value += rest.slice(plain, at) + (rest[at + 1] === 'n' ? '\n' : (rest[at + 1] ?? ''))
          at += 2
          plain = at
        } else at++
      }
      if (at >= rest.length) return
      // `__proto__` would be no label.
      Object.defineProperty(labels, name, {
        value: value + rest.slice(plain, at),
        enumerable: true,
        configurable: true,
      })
      at++
    }
    at++
  }
  const text = rest.slice(at).trim()
  const space = text.search(/\s/)
  const value = Number((space < 0 ? text : text.slice(0, space)).replace(/^[+]?Inf$/, 'Infinity'))
  if (text !== '' && !Number.isNaN(value)) on(labels, value)
}

/** What a metric of an engine tells. `fraction`: 0..1. */
interface Names {
  readonly queue: readonly string[]
  readonly running: readonly string[]
  readonly kv: readonly string[]
}

// vLLM docs/usage/metrics, SGLang references/production_metrics, TGI reference/metrics, and the table of the Gateway API
// Inference Extension's proposal 003. Triton's have labels: see noteTriton.
const ENGINES: Readonly<Record<Exclude<Engine, 'auto' | 'triton'>, Names>> = {
  vllm: {
    queue: ['vllm:num_requests_waiting'],
    running: ['vllm:num_requests_running'],
    kv: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
  },
  sglang: {
    queue: ['sglang:num_queue_reqs'],
    running: ['sglang:num_running_reqs'],
    kv: ['sglang:token_usage'],
  },
  tgi: { queue: ['tgi_queue_size'], running: ['tgi_batch_current_size'], kv: [] },
}
const TRITON_REQUESTS = 'nv_trt_llm_request_metrics'
const TRITON_BLOCKS = 'nv_trt_llm_kv_cache_block_metrics'
const LORA_INFO = 'vllm:lora_requests_info'
const CACHE_INFO = 'vllm:cache_config_info'

interface Found {
  queue?: number
  running?: number
  kv?: number
  kvTokens?: number
  loraMax?: number
  loras?: readonly string[]
  loraAt?: number
}

type Reader = (found: Found, labels: Labels, value: number) => void

const add =
  (field: 'queue' | 'running'): Reader =>
  (found, _labels, value) => {
    found[field] = (found[field] ?? 0) + value
  }

/** Of several engines in one process the fullest counts. */
const fullest: Reader = (found, _labels, value) => {
  found.kv = Math.max(found.kv ?? 0, Math.min(1, value))
}

const READERS: Readonly<Record<Exclude<Engine, 'auto'>, ReadonlyMap<string, Reader>>> = {
  vllm: readersOf(ENGINES.vllm, [
    [LORA_INFO, noteLoras],
    [CACHE_INFO, noteCache],
  ]),
  sglang: readersOf(ENGINES.sglang),
  tgi: readersOf(ENGINES.tgi),
  triton: new Map([
    [TRITON_REQUESTS, noteTriton],
    [TRITON_BLOCKS, noteTritonBlocks],
  ]),
}
const ALL = new Map(Object.values(READERS).flatMap((readers) => [...readers]))

function readersOf(
  { queue, running, kv }: Names,
  more: readonly (readonly [string, Reader])[] = [],
): Map<string, Reader> {
  return new Map([
    ...queue.map((name) => [name, add('queue')] as const),
    ...running.map((name) => [name, add('running')] as const),
    ...kv.map((name) => [name, fullest] as const),
    ...more,
  ])
}

/** The value is when it held: of several the newest counts. Adapters that requests wait for will be loaded next. */
function noteLoras(found: Found, labels: Labels, value: number): void {
  if (found.loraAt !== undefined && found.loraAt > value) return
  found.loraAt = value
  const max = Number(labels['max_lora'])
  if (Number.isInteger(max) && max >= 0) found.loraMax = max
  const names = `${labels['running_lora_adapters'] ?? ''},${labels['waiting_lora_adapters'] ?? ''}`.split(',')
  found.loras = [...new Set(names.map((name) => name.trim()).filter((name) => name !== ''))]
}

function noteCache(found: Found, labels: Labels): void {
  const tokens = Number(labels['block_size']) * Number(labels['num_gpu_blocks'])
  if (Number.isFinite(tokens) && tokens > 0) found.kvTokens = (found.kvTokens ?? 0) + tokens
}

function noteTriton(found: Found, labels: Labels, value: number): void {
  if (labels['request_type'] === 'waiting') add('queue')(found, labels, value)
  else if (labels['request_type'] === 'scheduled') add('running')(found, labels, value)
}

function noteTritonBlocks(found: Found, labels: Labels, value: number): void {
  if (labels['kv_cache_block_type'] === 'fraction') fullest(found, labels, value)
}

/** What the text says of its engine's load; null = nothing that is known. Never throws. */
export function signalsOfMetrics(text: string, engine: Engine): LoadSignals | null {
  const readers = engine === 'auto' ? ALL : READERS[engine]
  const found: Found = {}
  readSamples(text, new Set(readers.keys()), (name, labels, value) => {
    if (Number.isFinite(value) && value >= 0) readers.get(name)!(found, labels, value)
  })
  const { loraAt: _, ...signals } = found
  return Object.keys(signals).length === 0 ? null : signals
}
