import { encodeHeaders } from '../http2/hpack-encoder.ts'

/** Codes of gRPC that are used here (grpc.io, Status codes). */
export const GRPC = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const

const MAX_MESSAGE = 1000
/** All but printable ASCII, and the sign itself. */
const ESCAPED = /[^\x20-\x24\x26-\x7e]/u

/** grpc-message is percent-encoded UTF-8 (PROTOCOL-HTTP2.md, "Status-Message"). */
export function escapeMessage(message: string): string {
  const text = message.slice(0, MAX_MESSAGE).toWellFormed()
  if (!ESCAPED.test(text)) return text
  let out = ''
  for (const byte of Buffer.from(text))
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return out
}

const TYPE = ['content-type', 'application/grpc']
/** The head of every answer, and the end of every good one. */
export const HEAD = encodeHeaders([':status', '200', ...TYPE])
export const GOOD = encodeHeaders(['grpc-status', '0'])

const statusHeaders = (code: number, message: string): readonly string[] => {
  const list = ['grpc-status', String(code)]
  if (message !== '') list.push('grpc-message', escapeMessage(message))
  // What we would have understood: for whoever has sent something else.
  if (code === GRPC.UNIMPLEMENTED) list.push('grpc-accept-encoding', 'identity')
  return list
}

/** What follows the messages of a call that failed. */
export const failureTrailers = (code: number, message: string): Buffer => encodeHeaders(statusHeaders(code, message))

/** The whole of a call that failed before it had an answer (PROTOCOL-HTTP2.md, "Trailers-Only"). */
export const failureOnly = (code: number, message: string): Buffer =>
  encodeHeaders([':status', '200', ...TYPE, ...statusHeaders(code, message)])

/** Whoever asks is no client of gRPC. */
export const httpOnly = (status: number): Buffer => encodeHeaders([':status', String(status), 'content-length', '0'])
