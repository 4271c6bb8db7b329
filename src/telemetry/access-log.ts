import type { PeerIdentity } from '../contracts/identity.ts'
import { usdText } from '../core/usd.ts'

/**
 * One line of JSON a request. Written by hand because it is the same few fields each time: a general serialiser costs
 * several times as much. Holds no content and no secret; numbers are ms with one decimal.
 */
export interface AccessEntry {
  /** Epoch ms. */
  readonly time: number
  readonly level: string
  /** Of safe characters only (core/ids.ts). */
  readonly requestId: string
  /** Of a trace that is sampled: there is something to look at. '' = none. */
  readonly traceId: string
  /** One that node:http knows. */
  readonly method: string
  readonly path: string
  readonly operation: string
  readonly peer: string
  /** As the client sent it. */
  readonly model: string
  readonly route: string
  readonly target: string
  readonly answeredModel: string
  /** The answer came from the simulated model. */
  readonly simulated: boolean
  readonly stream: boolean
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly bytesIn: number
  readonly bytesOut: number
  readonly totalMs: number
  /** -1 = none. */
  readonly firstByteMs: number
  readonly upstreamMs: number
  readonly attempts: readonly {
    readonly target: string
    /** Left out or '' = the target has one address. */
    readonly endpoint?: string
    readonly result: string
    readonly status: number
    readonly ms: number
    readonly firstTokenMs: number
    readonly hedge: boolean
  }[]
  /** -1 = the backend did not say. */
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedInputTokens: number
  /** Public id of the key; '' = nobody was asked. */
  readonly key: string
  readonly tenant: string
  readonly team: string
  readonly user: string
  /** Who the other end is, as TLS or the mesh says. null = that is not known. */
  readonly identity: PeerIdentity | null
  /** Billionths of a US dollar. */
  readonly nanoUsd: number
  /** `estimated`, `unpriced`, or '' when tokens and price are known. */
  readonly costNote: string
  /** Targets that limits or a full queue kept it from. */
  readonly passedOver: readonly { readonly target: string; readonly reason: string }[] | null
  /** Limits in shadow mode that would have refused. */
  readonly wouldRefuse: readonly string[]
  /** What the cache did for it; '' = it had nothing to do with it. */
  readonly cache: string
}

const PLAIN = /^[A-Za-z0-9._~:/@ +*()=,;'!&$%-]*$/
const quote = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

/** Names of routes, targets and results come from the configuration: each is quoted once. Bounded all the same. */
const quoted = new Map<string, string>()
function quoteName(text: string): string {
  let known = quoted.get(text)
  if (known === undefined) {
    if (quoted.size > 10_000) quoted.clear()
    known = JSON.stringify(text)
    quoted.set(text, known)
  }
  return known
}

/**
 * Two decimals. Whole numbers only: V8 keeps their texts, while the shortest text of a double is searched for each time.
 * Beyond what 32 bits hold (248 days) it does not matter.
 */
function ms(n: number): string {
  const hundredths = Math.round(n * 100)
  const whole = Math.floor(hundredths / 100)
  const rest = hundredths - whole * 100
  return rest === 0 ? `${whole}` : rest < 10 ? `${whole}.0${rest}` : `${whole}.${rest}`
}
const MAX_TEXT = 300

let cachedSecond = 0
let cachedText = ''

/** ISO 8601 with ms; the part up to the second is kept, since most lines share it. */
function timeText(time: number): string {
  const second = Math.floor(time / 1000)
  if (second !== cachedSecond) {
    cachedSecond = second
    cachedText = new Date(second * 1000).toISOString().slice(0, 20)
  }
  return `${cachedText}${String(Math.floor(time) % 1000).padStart(3, '0')}Z`
}

/** The line, newline included. */
export function accessLine(e: AccessEntry): string {
  let line = `{"time":"${timeText(e.time)}","level":"${e.level}","msg":"request","request_id":"${e.requestId}","method":"${e.method}","path":${quote(e.path.slice(0, MAX_TEXT))},"operation":"${e.operation}","status":${e.status}`
  if (e.traceId !== '') line += `,"trace_id":"${e.traceId}"`
  if (e.code !== '') line += `,"code":"${e.code}"`
  if (e.detail !== '') line += `,"detail":${quote(e.detail.slice(0, MAX_TEXT))}`
  if (e.model !== '') line += `,"model":${quote(e.model.slice(0, MAX_TEXT))}`
  if (e.route !== '' && e.route !== e.model) line += `,"route":${quoteName(e.route)}`
  if (e.target !== '') line += `,"target":${quoteName(e.target)}`
  if (e.answeredModel !== '' && e.answeredModel !== e.model)
    line += `,"upstream_model":${quote(e.answeredModel.slice(0, MAX_TEXT))}`
  if (e.simulated) line += ',"simulated":true'
  line += `,"stream":${e.stream},"peer":"${e.peer}","bytes_in":${e.bytesIn},"bytes_out":${e.bytesOut},"duration_ms":${ms(e.totalMs)}`
  if (e.firstByteMs >= 0)
    line += `,"first_byte_ms":${ms(e.firstByteMs)},"overhead_ms":${ms(Math.max(0, e.firstByteMs - e.upstreamMs))}`
  line += `,"upstream_ms":${ms(e.upstreamMs)}`
  if (e.inputTokens >= 0) line += `,"input_tokens":${e.inputTokens},"output_tokens":${e.outputTokens}`
  if (e.cachedInputTokens > 0) line += `,"cached_input_tokens":${e.cachedInputTokens}`
  if (e.key !== '') line += callerFields(e)
  if (e.identity != null) line += peerFields(e.identity)
  line += costFields(e)
  if (e.passedOver !== null) line += `,"passed_over":${JSON.stringify(e.passedOver)}`
  if (e.wouldRefuse.length > 0) line += `,"would_refuse":${JSON.stringify(e.wouldRefuse)}`
  if (e.cache !== '') line += `,"cache":"${e.cache}"`
  return `${line}${attemptsField(e.attempts)}}\n`
}

function costFields({ nanoUsd, costNote }: AccessEntry): string {
  const text = nanoUsd > 0 ? `,"cost_usd":${usdText(nanoUsd)}` : ''
  return costNote === '' ? text : `${text},"cost_note":"${costNote}"`
}

function callerFields(e: AccessEntry): string {
  let text = `,"key":${quoteName(e.key)}`
  if (e.tenant !== '') text += `,"tenant":${quoteName(e.tenant)}`
  if (e.team !== '') text += `,"team":${quoteName(e.team)}`
  if (e.user !== '') text += `,"user":${quote(e.user.slice(0, MAX_TEXT))}`
  return text
}

function peerFields({ id, namespace, serviceAccount, trustDomain }: PeerIdentity): string {
  let text = `,"peer_id":${quoteName(id)}`
  if (namespace !== '') text += `,"namespace":${quoteName(namespace)}`
  if (serviceAccount !== '') text += `,"service_account":${quoteName(serviceAccount)}`
  if (trustDomain !== '') text += `,"trust_domain":${quoteName(trustDomain)}`
  return text
}

/** Of several addresses behind a target, which. */
const endpointField = (endpoint: string | undefined): string =>
  endpoint === undefined || endpoint === '' ? '' : `,"endpoint":${quoteName(endpoint)}`

function attemptsField(attempts: AccessEntry['attempts']): string {
  let line = ''
  if (attempts.length === 1 && attempts[0]!.result === 'ok')
    line += `,"attempts":1${endpointField(attempts[0]!.endpoint)}`
  else if (attempts.length > 0) {
    line += ',"attempts":['
    for (let i = 0; i < attempts.length; i++) {
      const a = attempts[i]!
      line += `${i === 0 ? '' : ','}{"target":${quoteName(a.target)}${endpointField(a.endpoint)},"result":${quoteName(a.result)},"status":${a.status},"ms":${ms(a.ms)}${a.firstTokenMs >= 0 ? `,"first_token_ms":${ms(a.firstTokenMs)}` : ''}${a.hedge ? ',"hedge":true' : ''}}`
    }
    line += ']'
  }
  return line
}
