/**
 * What a client gets for every fault a backend can show: one table, from which the tests and
 * docs/reference/failover-matrix.md are made.
 */
export interface Outcome {
  readonly status: number
  /** `code` of the error body or event; null = no error. */
  readonly code: string | null
  /** Whose answer the client got. */
  readonly by: 'first' | 'second' | null
  /** Calls of backends. */
  readonly attempts: number
  /** The client got text. */
  readonly content: boolean
  /** `retry-after` of the provider, seconds at least; absent = it gave none. */
  readonly retryAfter?: number
}

export interface Row {
  /** Fault of the first target, as the simulator takes it. */
  readonly fault: string
  readonly json: readonly [one: Outcome, two: Outcome]
  readonly stream: readonly [one: Outcome, two: Outcome]
}

export const MAX_ATTEMPTS = 2

const served: Outcome = { status: 200, code: null, by: 'first', attempts: 1, content: true }
const moved: Outcome = { status: 200, code: null, by: 'second', attempts: 2, content: true }
const repeated: Outcome = { ...served, attempts: 2 }
const broken: Outcome = { status: 200, code: 'stream_interrupted', by: 'first', attempts: 1, content: true }
const refused = (status: number, code: string, attempts = MAX_ATTEMPTS): Outcome => ({
  status,
  code,
  by: null,
  attempts,
  content: false,
})

const both = (fault: string, one: Outcome, two: Outcome): Row => ({ fault, json: [one, two], stream: [one, two] })
/** The answer is odd, but whole. */
const harmless = (fault: string): Row => both(fault, served, served)
/** Nothing of it reaches the client: the next target answers, or the same is asked again. */
const failed = (fault: string, status: number, code: string): Row => both(fault, refused(status, code), moved)
/** Asking the same backend again is of no use, another may serve. */
const elsewhere = (fault: string, status: number, code: string): Row => both(fault, refused(status, code, 1), moved)
/** The request's own fault: nobody else is asked. */
const rejected = (fault: string, status: number, code: string): Row =>
  both(fault, refused(status, code, 1), refused(status, code, 1))
/** Breaks only streams, after text. Spaced out, so that the text is with the client before the break. */
const cut = (fault: string): Row => ({
  fault: `${fault}~interval=40`,
  json: [served, served],
  stream: [broken, broken],
})
/** Fails only streams, before any text. */
const streamOnly = (fault: string, status: number, code: string): Row => ({
  fault,
  json: [served, served],
  stream: [refused(status, code), moved],
})

const limited = (hint: string, seconds: number): Row => {
  const told: Outcome = { ...refused(429, 'rate_limit_exceeded', 1), retryAfter: seconds }
  return both(`rate_limit=${hint}`, told, moved)
}

const INVALID = 'upstream_invalid_response'

export const MATRIX: readonly Row[] = [
  // No answer.
  failed('refuse', 502, 'upstream_error'),
  failed('reset_before_headers', 502, 'upstream_error'),
  failed('stall', 504, 'upstream_timeout'),
  // Late, but whole.
  harmless('delay_headers=50'),
  harmless('delay_first=50'),
  harmless('interval=5'),
  harmless('slow_body=5'),
  // An error status.
  failed('status=500', 502, 'upstream_error'),
  failed('status=502', 502, 'upstream_error'),
  failed('status=503', 503, 'upstream_unavailable'),
  failed('status=504', 504, 'upstream_timeout'),
  failed('status=529', 503, 'upstream_unavailable'),
  failed('status=429', 429, 'rate_limit_exceeded'),
  failed('status=204', 502, INVALID),
  failed('status=301', 502, INVALID),
  elsewhere('status=404', 404, 'model_not_found'),
  rejected('status=400', 400, 'invalid_request'),
  rejected('status=409', 409, 'conflict'),
  rejected('status=413', 413, 'request_too_large'),
  rejected('status=422', 422, 'unprocessable_entity'),
  rejected('context_length', 400, 'context_length_exceeded'),
  rejected('content_filter', 400, 'content_filter'),
  // The gateway's own credentials: nobody's fault but the operator's.
  elsewhere('auth_401', 502, 'upstream_auth'),
  elsewhere('auth_403', 502, 'upstream_auth'),
  elsewhere('status=402', 502, 'upstream_auth'),
  both('insufficient_quota', { ...refused(429, 'insufficient_quota', 1), retryAfter: 300 }, moved),
  // Rate limits with each form of hint; a short one would be waited for.
  limited('seconds', 2),
  limited('date', 2),
  limited('ms', 2),
  limited('go', 2),
  limited('google', 2),
  limited('long', 86_400),
  failed('rate_limit=none', 429, 'rate_limit_exceeded'),
  // Overload, in a body with status 200 as well.
  ...['200', '503'].flatMap((status) =>
    ['openai', 'azure', 'anthropic', 'google'].map((provider) =>
      failed(`overloaded_body=${status}-${provider}`, 503, 'upstream_unavailable'),
    ),
  ),
  // A good status with something that is not an answer.
  failed('html', 502, INVALID),
  failed('null_body', 502, INVALID),
  failed('array_body', 502, INVALID),
  failed('no_choices', 502, INVALID),
  failed('empty_body', 502, INVALID),
  failed('redirect', 502, INVALID),
  failed('gzip_bomb=4194304', 502, INVALID),
  { fault: 'truncated_json', json: [refused(502, INVALID), moved], stream: [served, served] },
  streamOnly('huge_event=2097152', 502, INVALID),
  // A stream that fails after its opening events, but before text.
  streamOnly('early_error', 502, 'upstream_error'),
  streamOnly('error_after=0', 502, 'upstream_error'),
  streamOnly('truncated_event=0', 502, INVALID),
  streamOnly('torn_utf8=0', 502, INVALID),
  streamOnly('cut_stream_after=0', 502, INVALID),
  // Content and break in one read: the text never left, so that another target can still take over.
  streamOnly('error_after=2', 502, 'upstream_error'),
  // A stream that fails after text has reached the client.
  cut('error_after=2'),
  cut('truncated_event=2'),
  cut('cut_stream_after=2'),
  cut('torn_utf8=2'),
  cut('no_done'),
  { fault: 'reset_after=2~interval=40', json: [refused(502, 'upstream_error'), moved], stream: [broken, broken] },
  { fault: 'stall_after=2~interval=40', json: [refused(504, 'upstream_timeout'), moved], stream: [broken, broken] },
  // Odd, but whole.
  harmless('wrong_content_type'),
  harmless('split_utf8'),
  harmless('duplicate_frames'),
  harmless('annotations_first'),
  harmless('comments'),
  harmless('crlf'),
  harmless('early_hints=3'),
  harmless('switching'),
  harmless('set_cookie'),
  harmless('surplus_bytes'),
  // Compressed although nobody asked: a body is unpacked, a stream is not.
  { fault: 'gzip_body', json: [served, served], stream: [refused(502, INVALID), moved] },
  // Passing trouble.
  both('status=500~times=1', repeated, moved),
  failed('status=500~prob=1', 502, 'upstream_error'),
]

const cell = (outcome: Outcome, streamed: boolean): string => {
  const { status, code, by, attempts, content, retryAfter } = outcome
  if (code === null)
    return by === 'second' ? '200 from the second target' : attempts === 1 ? '200' : `200 at attempt ${attempts}`
  if (content && streamed) return `200, text, then error event \`${code}\``
  const hint = retryAfter === undefined ? '' : ', with `retry-after`'
  return `${status} \`${code}\`${attempts === 1 ? '' : `, after ${attempts} attempts`}${hint}`
}

const HEAD = `# Failover matrix

Generated from \`test/integration/failover-matrix.ts\`, whose rows are tests: each runs against a real simulated backend
with that fault (\`heddle sim --list-faults\`), once with nothing else to turn to, once with a second, healthy target.
Configured are ${MAX_ATTEMPTS} attempts, bodies and events of at most 1 MiB, and retry hints of at most half a second.

What holds in every row: a client never sees half an answer as a whole one. Either a stream ends with \`[DONE]\`, or with an
error event and no \`[DONE]\`. What a backend says about credentials, its hosts, cookies and connection never passes.

| Fault | JSON, one target | JSON, two targets | Stream, one target | Stream, two targets |
|---|---|---|---|---|
`

/** Text of docs/reference/failover-matrix.md. */
export const matrixPage = (): string => {
  const lines = MATRIX.map(({ fault, json, stream }) => {
    const cells = [...json.map((o) => cell(o, false)), ...stream.map((o) => cell(o, true))]
    return `| \`${fault.replaceAll('~', ';')}\` | ${cells.join(' | ')} |`
  })
  return `${HEAD}${lines.join('\n')}\n`
}
