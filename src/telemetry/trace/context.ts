import type { Signals } from '../../contracts/trace.ts'

/** A context as it came in. */
export interface ParentContext {
  /** '' = it carries a decision and no ids (B3 alone can). */
  readonly traceId: string
  readonly spanId: string
  /** Undefined = whoever comes next decides (B3 alone can). */
  readonly sampled: boolean | undefined
  readonly form: 'w3c' | 'b3' | 'b3multi'
  /** The trace id came with 16 characters: it goes on so in B3. */
  readonly short: boolean
  /** B3's debug flag: sampled whatever samplers say. */
  readonly debug: boolean
  /** W3C: the random flag (level 2) goes on. */
  readonly random: boolean
}

const ZERO_TRACE = '0'.repeat(32)
const ZERO_SPAN = '0'.repeat(16)
const HIGH_ZEROS = '0'.repeat(16)
const TRACE_PARENT_LENGTH = 55
const DASH = 45
const RANDOM_FLAG = 2

/** By character code: 1 = 0-9 and a-f, 2 = A-F. */
const HEX = new Uint8Array(128)
for (const c of '0123456789abcdef') HEX[c.charCodeAt(0)] = 1
for (const c of 'ABCDEF') HEX[c.charCodeAt(0)] = 2

function isLowerHex(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (HEX[text.charCodeAt(i)] !== 1) return false
  return true
}

function isHex(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!(HEX[text.charCodeAt(i)]! > 0)) return false
  return true
}

/**
 * W3C Trace Context 3.2: lower case only; version ff and ids of zeros are invalid; of a higher version the part that this
 * one has counts when a dash follows it. null = not valid, which is to be taken as absent.
 */
export function parseTraceparent(text: string): ParentContext | null {
  const { length } = text
  if (length < TRACE_PARENT_LENGTH) return null
  if (text.charCodeAt(2) !== DASH || text.charCodeAt(35) !== DASH || text.charCodeAt(52) !== DASH) return null
  if (!isLowerHex(text, 0, 2) || !isLowerHex(text, 3, 35) || !isLowerHex(text, 36, 52) || !isLowerHex(text, 53, 55))
    return null
  if (length > TRACE_PARENT_LENGTH) {
    const version = text.slice(0, 2)
    if (version === '00' || text.charCodeAt(TRACE_PARENT_LENGTH) !== DASH) return null
  }
  if (text.startsWith('ff')) return null
  const traceId = text.slice(3, 35)
  const spanId = text.slice(36, 52)
  if (traceId === ZERO_TRACE || spanId === ZERO_SPAN) return null
  const flags = Number.parseInt(text.slice(53, 55), 16)
  return {
    traceId,
    spanId,
    sampled: (flags & 1) === 1,
    form: 'w3c',
    short: false,
    debug: false,
    random: text.startsWith('00') && (flags & RANDOM_FLAG) !== 0,
  }
}

const decision = (sampled: boolean | undefined, debug: boolean, form: 'b3' | 'b3multi'): ParentContext => ({
  traceId: '',
  spanId: '',
  sampled,
  form,
  short: false,
  debug,
  random: false,
})

/** Undefined = not one of them. B3 writes `0` and `1`; older tracers write words. */
function sampledOf(text: string): boolean | undefined {
  if (text === '1' || text === 'true' || text === 'True') return true
  if (text === '0' || text === 'false' || text === 'False') return false
  return undefined
}

/** Of openzipkin/b3-propagation: 16 or 32 hex characters, in either case. */
function idsOf(trace: string, span: string): Pick<ParentContext, 'traceId' | 'spanId' | 'short'> | null {
  const short = trace.length === 16
  if ((!short && trace.length !== 32) || span.length !== 16 || !isHex(trace) || !isHex(span)) return null
  const traceId = (short ? HIGH_ZEROS + trace : trace).toLowerCase()
  const spanId = span.toLowerCase()
  return traceId === ZERO_TRACE || spanId === ZERO_SPAN ? null : { traceId, spanId, short }
}

/** The `b3` header: `0`, `1` or `d` alone, or `TRACE-SPAN[-STATE[-PARENT]]`. null = not valid. */
export function parseB3Single(text: string): ParentContext | null {
  if (text.length === 1) {
    if (text === 'd') return decision(true, true, 'b3')
    return text === '0' || text === '1' ? decision(text === '1', false, 'b3') : null
  }
  const afterTrace = text.indexOf('-')
  if (afterTrace !== 16 && afterTrace !== 32) return null
  const afterSpan = afterTrace + 17
  const ids = idsOf(text.slice(0, afterTrace), text.slice(afterTrace + 1, afterSpan))
  if (ids === null) return null
  if (text.length === afterSpan) return { ...ids, sampled: undefined, form: 'b3', debug: false, random: false }
  if (text.charCodeAt(afterSpan) !== DASH) return null
  const state = text[afterSpan + 1]
  if (state !== '0' && state !== '1' && state !== 'd') return null
  const rest = text.slice(afterSpan + 2)
  if (rest !== '' && !(rest.length === 17 && rest.startsWith('-') && isHex(rest.slice(1)))) return null
  return { ...ids, sampled: state !== '0', form: 'b3', debug: state === 'd', random: false }
}

/** The `x-b3-*` headers. null = not there, or not valid. */
export function parseB3Multi(s: Signals): ParentContext | null {
  const debug = s.b3Flags === '1'
  const sampled = debug ? true : s.b3Sampled === undefined ? undefined : sampledOf(s.b3Sampled)
  if (s.b3TraceId === undefined && s.b3SpanId === undefined)
    return sampled === undefined ? null : decision(sampled, debug, 'b3multi')
  const ids = idsOf(s.b3TraceId ?? '', s.b3SpanId ?? '')
  // A decision that cannot be read is none, ids that cannot be read are no context at all.
  return ids === null ? null : { ...ids, sampled, form: 'b3multi', debug, random: false }
}

/** Single before multi, as B3 says; of a single one that is not valid nothing is left. */
export function parseB3(s: Signals): ParentContext | null {
  if (s.b3 !== undefined) return parseB3Single(s.b3)
  if (s.b3TraceId === undefined && s.b3Sampled === undefined && s.b3Flags === undefined) return null
  return parseB3Multi(s)
}

export interface Chosen {
  /** null = nothing came in: the trace begins here. */
  readonly parent: ParentContext | null
  /** Names another trace than the parent; null = there is none. */
  readonly other: ParentContext | null
}

const NOTHING: Chosen = { parent: null, other: null }

/**
 * Which of the contexts is the parent. Where both families are there, the one that the proxies of the mesh write is
 * fresh, and the other one may be left over from hops before.
 */
export function chooseParent(s: Signals, prefer: 'w3c' | 'b3'): Chosen {
  const w3c = s.traceparent === undefined ? null : parseTraceparent(s.traceparent)
  const b3 = parseB3(s)
  if (w3c === null) return b3 === null ? NOTHING : { parent: b3, other: null }
  if (b3 === null) return { parent: w3c, other: null }
  const parent = prefer === 'b3' ? b3 : w3c
  const other = prefer === 'b3' ? w3c : b3
  return { parent, other: other.traceId === '' || other.traceId === parent.traceId ? null : other }
}
