/**
 * The fault table, as data: documentation, `heddle sim --help` and tests of whoever sits in front loop over it.
 * A spec is `name[=argument]` joined by `~` in a model's name (`sim-chat~stall_after=3`) or by `;` in `x-sim-fault`.
 */
import { seededRandom } from './random.ts'

export type FaultArgument = 'none' | 'ms' | 'count' | 'bytes' | 'status' | 'share' | 'hint' | 'provider'

/**
 * What the caller meets, if the fault stands alone with its default argument:
 * `unreachable` the connection breaks before a status line; `hangs` nothing more comes;
 * `refused` an error status that another backend may not share; `rejected` an error that is the request's own fault;
 * `garbage` a 2xx or 3xx that is not an answer; `breaks` the answer fails after content has been sent;
 * `harmless` odd, but the answer is whole; `slow` late, but whole; `modifier` changes when other faults apply.
 */
export type FaultEffect =
  | 'unreachable'
  | 'hangs'
  | 'refused'
  | 'rejected'
  | 'garbage'
  | 'breaks'
  | 'harmless'
  | 'slow'
  | 'modifier'

export interface Fault {
  readonly name: string
  readonly argument: FaultArgument
  /** Used when the spec gives none; undefined: the argument must be given. */
  readonly fallback: string | undefined
  /** Kinds of answer the fault changes; on others it does nothing. */
  readonly on: readonly ('json' | 'stream')[]
  readonly effect: FaultEffect
  /** One line. */
  readonly help: string
}

const BOTH = ['json', 'stream'] as const
const JSON_ONLY = ['json'] as const
const STREAM_ONLY = ['stream'] as const

const fault = (
  name: string,
  argument: FaultArgument,
  fallback: string | undefined,
  on: Fault['on'],
  effect: FaultEffect,
  help: string,
): Fault => ({ name, argument, fallback, on, effect, help })

export const FAULTS: readonly Fault[] = [
  fault('refuse', 'none', undefined, BOTH, 'unreachable', 'close the socket before any answer'),
  fault(
    'reset_before_headers',
    'none',
    undefined,
    BOTH,
    'unreachable',
    'TCP reset once the request is read, before any answer',
  ),
  fault('reset_after', 'count', '2', BOTH, 'breaks', 'TCP reset after n content events, or after half a JSON body'),
  fault('delay_headers', 'ms', '200', BOTH, 'slow', 'wait before the status line'),
  fault('delay_first', 'ms', '200', BOTH, 'slow', 'send the headers, then wait before the first event or byte'),
  fault('interval', 'ms', '20', STREAM_ONLY, 'slow', 'wait between content events'),
  fault('stall', 'none', undefined, BOTH, 'hangs', 'read the request and never answer'),
  fault('stall_after', 'count', '2', BOTH, 'breaks', 'silence after n content events, or after half a JSON body'),
  fault('status', 'status', '500', BOTH, 'refused', 'answer with this status and the usual OpenAI error for it'),
  fault(
    'overloaded_body',
    'provider',
    '200',
    BOTH,
    'refused',
    "a provider's overload body; STATUS or STATUS-PROVIDER: 200 or 503; openai, azure, anthropic, google",
  ),
  fault(
    'rate_limit',
    'hint',
    'seconds',
    BOTH,
    'refused',
    '429 with one form of hint: seconds, date, ms, go, google, none or long (a day)',
  ),
  fault(
    'insufficient_quota',
    'none',
    undefined,
    BOTH,
    'refused',
    '429 with code insufficient_quota: the account is used up',
  ),
  fault('auth_401', 'none', undefined, BOTH, 'refused', '401 that quotes the API key in its message'),
  fault('auth_403', 'none', undefined, BOTH, 'refused', '403 that quotes the API key in its message'),
  fault('context_length', 'none', undefined, BOTH, 'rejected', '400 with code context_length_exceeded'),
  fault('content_filter', 'none', undefined, BOTH, 'rejected', '400 with code content_filter, as Azure sends it'),
  fault('html', 'none', undefined, BOTH, 'garbage', '200 with a login page in HTML'),
  fault('null_body', 'none', undefined, BOTH, 'garbage', '200 with the JSON body null'),
  fault('array_body', 'none', undefined, BOTH, 'garbage', '200 with the JSON body []'),
  fault('no_choices', 'none', undefined, BOTH, 'garbage', 'an answer without choices (or output, or data)'),
  fault('empty_body', 'none', undefined, BOTH, 'garbage', '200 with no body at all'),
  fault('wrong_content_type', 'none', undefined, BOTH, 'harmless', 'the right body, labelled text/plain'),
  fault('truncated_json', 'none', undefined, JSON_ONLY, 'garbage', 'half of the JSON body, correctly framed'),
  fault(
    'truncated_event',
    'count',
    '2',
    STREAM_ONLY,
    'breaks',
    'after n content events one with its JSON cut off, then the end',
  ),
  fault(
    'cut_stream_after',
    'count',
    '2',
    STREAM_ONLY,
    'breaks',
    'clean end of the body after n content events, without an end marker',
  ),
  fault(
    'no_done',
    'none',
    undefined,
    STREAM_ONLY,
    'breaks',
    'everything but the end marker: [DONE], or response.completed',
  ),
  fault('torn_utf8', 'count', '2', STREAM_ONLY, 'breaks', 'after n content events one with half a UTF-8 character'),
  fault(
    'split_utf8',
    'none',
    undefined,
    BOTH,
    'harmless',
    'adds characters outside ASCII and splits them over TCP writes',
  ),
  fault('duplicate_frames', 'none', undefined, STREAM_ONLY, 'harmless', 'every content event is sent twice'),
  fault('huge_event', 'bytes', '2097152', STREAM_ONLY, 'garbage', 'one content event of this size before the others'),
  fault(
    'early_error',
    'none',
    undefined,
    STREAM_ONLY,
    'refused',
    '200, the opening events, then an error event before any text',
  ),
  fault('error_after', 'count', '2', STREAM_ONLY, 'breaks', 'an error event after n content events'),
  fault(
    'annotations_first',
    'none',
    undefined,
    STREAM_ONLY,
    'harmless',
    'a first chunk with prompt_filter_results and no choices, as Azure sends it',
  ),
  fault('comments', 'none', undefined, STREAM_ONLY, 'harmless', 'SSE comments between events'),
  fault('crlf', 'none', undefined, STREAM_ONLY, 'harmless', 'CRLF line ends'),
  fault('early_hints', 'count', '1', BOTH, 'harmless', 'n answers 103 before the real one'),
  fault('switching', 'none', undefined, BOTH, 'harmless', 'an unasked-for 102 before the real answer'),
  fault(
    'set_cookie',
    'none',
    undefined,
    BOTH,
    'harmless',
    'headers that must not be passed on: Set-Cookie, Server, x-api-key, a Connection-listed one',
  ),
  fault('redirect', 'none', undefined, BOTH, 'garbage', '302 to another host'),
  fault('gzip_body', 'none', undefined, BOTH, 'harmless', 'the answer gzip-encoded, asked for or not'),
  fault('gzip_bomb', 'bytes', '67108864', BOTH, 'garbage', 'a small gzip body that grows to this size'),
  fault('slow_body', 'ms', '20', JSON_ONLY, 'slow', 'the JSON body in 16 parts with this wait between them'),
  fault(
    'surplus_bytes',
    'none',
    undefined,
    BOTH,
    'harmless',
    'a second, unasked-for answer on the connection after the first',
  ),
  fault(
    'times',
    'count',
    '1',
    BOTH,
    'modifier',
    'the other faults apply to the first n requests with this model and spec only',
  ),
  fault('prob', 'share', '0.5', BOTH, 'modifier', 'the other faults apply with this probability (seeded)'),
]

const BY_NAME: ReadonlyMap<string, Fault> = new Map(FAULTS.map((entry) => [entry.name, entry]))

export const RATE_LIMIT_HINTS = ['seconds', 'date', 'ms', 'go', 'google', 'none', 'long'] as const
export type RateLimitHint = (typeof RATE_LIMIT_HINTS)[number]
export const OVERLOAD_PROVIDERS = ['openai', 'azure', 'anthropic', 'google'] as const

/** Text that `split_utf8` adds to plain answers: characters of 2, 3 and 4 bytes. */
export const SPLIT_UTF8_TEXT = ' Grüße – 日本語 😀.'

/** Faults of one request, by name. */
export type FaultSet = ReadonlyMap<string, string>

export const NO_FAULTS: FaultSet = new Map()

/** A fault spec that names no fault or has an argument of the wrong kind. The message is for people. */
export class FaultSpecError extends Error {}

const ARGUMENT_CHECKS: Readonly<Record<FaultArgument, (argument: string) => boolean>> = {
  none: (argument) => argument === '',
  ms: (argument) => /^\d{1,7}$/.test(argument),
  count: (argument) => /^\d{1,7}$/.test(argument),
  bytes: (argument) => /^\d{1,9}$/.test(argument),
  status: (argument) => /^[2-5]\d\d$/.test(argument),
  share: (argument) => /^(?:0(?:\.\d+)?|1(?:\.0+)?|\.\d+)$/.test(argument),
  hint: (argument) => RATE_LIMIT_HINTS.some((hint) => hint === argument),
  provider: (argument) => /^(?:200|503|529)?-?(?:openai|azure|anthropic|google)?$/.test(argument),
}

/** @throws FaultSpecError */
export const parseFaults = (spec: string, separator: '~' | ';' = ';'): FaultSet => {
  const found = new Map<string, string>()
  for (const part of spec
    .split(separator)
    .map((text) => text.trim())
    .filter((text) => text !== '')) {
    const equals = part.indexOf('=')
    const name = equals < 0 ? part : part.slice(0, equals)
    const entry = BY_NAME.get(name)
    if (entry === undefined)
      throw new FaultSpecError(`no fault is named '${name}'; \`heddle sim --list-faults\` shows them all`)
    const argument = equals < 0 ? (entry.fallback ?? '') : part.slice(equals + 1)
    if (!ARGUMENT_CHECKS[entry.argument](argument)) {
      throw new FaultSpecError(`fault '${name}' wants an argument of kind '${entry.argument}', not '${argument}'`)
    }
    found.set(name, argument)
  }
  return found
}

/** `sim-chat~stall_after=3` names the model `sim-chat`. @throws FaultSpecError */
export const splitModel = (name: string): { model: string; faults: FaultSet } => {
  const at = name.indexOf('~')
  return at < 0
    ? { model: name, faults: NO_FAULTS }
    : { model: name.slice(0, at), faults: parseFaults(name.slice(at + 1), '~') }
}

/** Decides, with memory for `times` and `prob`, whether a request's faults apply. */
export interface FaultGate {
  pass(model: string, faults: FaultSet): FaultSet
  reset(): void
}

const MAX_GATE_KEYS = 10_000

export const createFaultGate = (seed: number): FaultGate => {
  let random = seededRandom(seed)
  const counts = new Map<string, number>()
  return {
    pass: (model, faults) => {
      const times = faults.get('times')
      if (times !== undefined) {
        const key = `${model}~${[...faults].join('~')}`
        const count = (counts.get(key) ?? 0) + 1
        if (counts.size >= MAX_GATE_KEYS) counts.clear()
        counts.set(key, count)
        if (count > Number(times)) return NO_FAULTS
      }
      const share = faults.get('prob')
      return share !== undefined && random() >= Number(share) ? NO_FAULTS : faults
    },
    reset: () => {
      counts.clear()
      random = seededRandom(seed)
    },
  }
}

/** The argument as a number; undefined if the fault is not set. */
export const faultNumber = (faults: FaultSet, name: string): number | undefined => {
  const argument = faults.get(name)
  return argument === undefined ? undefined : Number(argument)
}
