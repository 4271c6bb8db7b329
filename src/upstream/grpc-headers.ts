import type { UpstreamRequest } from '../contracts/upstream.ts'

/** Of HTTP/1.1's connections, of the JSON that is not sent, and what gRPC sets itself. */
const LEFT_OUT = new Set([
  'host',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'content-type',
  'upgrade',
  'expect',
  'trailer',
  'te',
  'accept',
  'accept-encoding',
  'endpoint-load-metrics-format',
])

const KEY_HEADERS = /^(?:authorization|api-key|x-api-key|x-goog-api-key|cookie|proxy-authorization)$/i
const NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const BAD_VALUE = /[^\t\x20-\x7e]/
/** As proxies of a mesh are told it. */
const DEADLINE = 'x-envoy-upstream-rq-timeout-ms'

const lists = ({ headers, more }: UpstreamRequest): readonly (readonly string[])[] =>
  more === undefined ? [headers] : [headers, more]

export const holdsKey = (request: UpstreamRequest): boolean =>
  lists(request).some((list) => list.some((name, i) => i % 2 === 0 && KEY_HEADERS.test(name)))

/** gRPC's own form: at most eight digits and a unit. ms: > 0. */
const timeoutText = (ms: number): string =>
  ms < 1e8 ? `${Math.ceil(ms)}m` : `${Math.min(99_999_999, Math.ceil(ms / 1000))}S`

export interface GrpcTarget {
  readonly path: string
  /** `host:port`, unless the request names another. */
  readonly authority: string
  /** 0 = none. */
  readonly deadlineMs: number
}

/** Headers of a call: the request's as metadata. A text: why they cannot be sent. */
export function grpcHeaders(request: UpstreamRequest, to: GrpcTarget): Record<string, string> | string {
  const sent: Record<string, string> = {
    ':method': 'POST',
    ':path': to.path,
    ':authority': to.authority,
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-accept-encoding': 'identity',
  }
  let deadline = to.deadlineMs
  for (const list of lists(request))
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i]!.toLowerCase()
      const value = list[i + 1]!
      if (name === 'host') sent[':authority'] = value
      if (LEFT_OUT.has(name) || name.startsWith('grpc-')) continue
      // Values of such names are base64 of bytes (PROTOCOL-HTTP2.md, "Custom-Metadata"): ours are texts.
      if (!NAME.test(name) || BAD_VALUE.test(value) || name.endsWith('-bin')) return `header '${name}' cannot be sent`
      if (name === DEADLINE && Number(value) > 0)
        deadline = deadline === 0 ? Number(value) : Math.min(deadline, Number(value))
      sent[name] = value
    }
  if (deadline > 0) sent['grpc-timeout'] = timeoutText(deadline)
  return sent
}
