import { randomUUID } from 'node:crypto'

const ACCEPTABLE = /^[A-Za-z0-9._:+/=@-]{1,128}$/

/**
 * The request id: the caller's own when it is harmless (RFC 9110 token characters, at most 128), else a new UUIDv4.
 * An id that came in goes unchanged into logs and answers, so that proxies around Heddle stay coherent.
 */
export const requestId = (received: string | undefined): string => fitRequestId(received) ?? randomUUID()

/** The caller's own when it is harmless. */
export const fitRequestId = (received: string | undefined): string | undefined =>
  received !== undefined && ACCEPTABLE.test(received) ? received : undefined
