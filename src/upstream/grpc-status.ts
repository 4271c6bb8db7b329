import type { FaultKind, UpstreamFault, UpstreamHeaders } from '../contracts/upstream.ts'

/** Codes of gRPC (grpc.io, Status codes): their names, and the HTTP status that says the same to who judges failures. */
const CODES: Readonly<Record<number, readonly [name: string, status: number]>> = {
  // Not of the caller's doing: we never take back a call and wait for its end.
  1: ['CANCELLED', 503],
  2: ['UNKNOWN', 500],
  3: ['INVALID_ARGUMENT', 400],
  4: ['DEADLINE_EXCEEDED', 504],
  5: ['NOT_FOUND', 404],
  6: ['ALREADY_EXISTS', 409],
  7: ['PERMISSION_DENIED', 403],
  8: ['RESOURCE_EXHAUSTED', 429],
  9: ['FAILED_PRECONDITION', 400],
  10: ['ABORTED', 503],
  11: ['OUT_OF_RANGE', 400],
  12: ['UNIMPLEMENTED', 501],
  13: ['INTERNAL', 500],
  14: ['UNAVAILABLE', 503],
  15: ['DATA_LOSS', 500],
  16: ['UNAUTHENTICATED', 401],
}

const MAX_MESSAGE = 2000

/** grpc-message is percent-encoded UTF-8 (PROTOCOL-HTTP2.md, "Status-Message"); what is not is shown as it is. */
function messageOf(text: string): string {
  try {
    return decodeURIComponent(text.slice(0, MAX_MESSAGE))
  } catch {
    return text.slice(0, MAX_MESSAGE)
  }
}

/** A failed call as the HTTP answer that a REST API would give. */
export function failureAnswer(code: number, message: string): { readonly status: number; readonly body: Buffer } {
  const [name, status] = CODES[code] ?? ['UNKNOWN', 500]
  return { status, body: Buffer.from(JSON.stringify({ error: { message: messageOf(message), status: name } })) }
}

const TLS = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH)/

interface CodedError {
  readonly code?: string
  readonly message?: string
  readonly errors?: readonly CodedError[]
}

/** Why there is no connection. */
export function connectFault(error: CodedError): UpstreamFault {
  // Of several addresses the first speaks for all.
  const first = error.code === undefined && error.errors?.[0] !== undefined ? error.errors[0] : error
  const code = first.code ?? ''
  const kind: FaultKind = TLS.test(code) ? 'tls' : 'connect'
  return { kind, detail: code === '' ? (first.message ?? 'unknown error') : code }
}

/** Nothing of the call was looked at (RFC 9113 section 8.7). */
const REFUSED_STREAM = 7
const PROTOCOL_ERROR = 1

/** Why a call that was under way has no end. rst: code of the reset, 0 = none. */
export function callFault(error: CodedError | null, rst: number): UpstreamFault {
  if (rst === REFUSED_STREAM) return { kind: 'connect', detail: 'the server refused the stream' }
  const code = error?.code ?? ''
  const protocol = rst === PROTOCOL_ERROR || code === 'ERR_HTTP2_ERROR'
  return { kind: protocol ? 'protocol' : 'reset', detail: code === '' ? `HTTP/2 reset ${rst}` : code }
}

/** What of an answer's head and trailers is for who judges it: neither HTTP/2's own nor gRPC's. */
export function plainHeaders(
  ...all: readonly (UpstreamHeaders | null)[]
): Record<string, string | string[] | undefined> {
  const plain: Record<string, string | string[] | undefined> = {}
  for (const headers of all)
    for (const [name, value] of Object.entries(headers ?? {}))
      if (!name.startsWith(':') && !name.startsWith('grpc-') && name !== 'content-length' && value !== undefined)
        plain[name] = value
  plain['content-type'] = 'application/json'
  return plain
}
