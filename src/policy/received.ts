import type { ServerConfig } from '../contracts/config.ts'
import type { Authenticator, HeaderGate, PeerIdentity } from '../contracts/identity.ts'
import type { HeaderList } from '../contracts/http.ts'
import { decodeBody, encodingOf } from '../core/decode.ts'
import { GatewayError } from '../core/errors.ts'
import { namedIdentity, spiffeIdentity } from '../mesh/identity/spiffe.ts'
import { duplicateHeader, RawReceived, type Head } from '../pipeline/raw-received.ts'
import { headerObject } from './headers.ts'

/** What node:http would take for a method. */
const METHOD = /^[A-Z][A-Z-]{0,30}$/

/** A request that a proxy tells of. */
export class PolicyReceived extends RawReceived {
  readonly peerIdentity: PeerIdentity | null
  readonly told = true
  /** Whose answer `identity` is. */
  identifiedBy: Authenticator | null = null

  /** principal: whom the client's certificate names, as the proxy says; '' = nobody. */
  constructor(head: Head, principal: string, gate?: HeaderGate) {
    super(head, gate)
    this.peerIdentity =
      principal === '' ? null : (spiffeIdentity('mtls', principal) ?? namedIdentity('mtls', principal))
  }

  protected override allHeaders(): Readonly<Record<string, string | string[]>> {
    return headerObject(this.raw)
  }
}

/** Regular headers of a list in which proxies also name method, path and the like. */
export function withoutPseudo(list: HeaderList): string[] {
  const raw: string[] = []
  for (let i = 0; i < list.length; i += 2) if (!list[i]!.startsWith(':')) raw.push(list[i]!, list[i + 1]!)
  return raw
}

/** Address without its port: `1.2.3.4:5`, `[::1]:5`. */
export function addressOf(text: string): string {
  const colon = text.lastIndexOf(':')
  const host = colon < 0 ? text : text.slice(0, colon)
  return host.startsWith('[') ? host.slice(1, -1) : host
}

/** Why the head is not one that is decided about; as on the port of the API. */
export function unfitHead({ method, raw }: Head, limits: ServerConfig['limits']): GatewayError | null {
  if (!METHOD.test(method)) return new GatewayError('invalid_request', 'The method is none of HTTP.')
  let bytes = 0
  for (const text of raw) bytes += text.length
  if (bytes > limits.headerBytes)
    return new GatewayError('headers_too_large', `The headers are larger than ${limits.headerBytes} bytes.`)
  if (raw.length > limits.headerCount * 2)
    return new GatewayError('headers_too_large', `The request has more than ${limits.headerCount} headers.`)
  const twice = duplicateHeader(raw)
  return twice === null ? null : new GatewayError('invalid_request', `The header '${twice}' stands twice.`)
}

export const tooLarge = (bytes: number): GatewayError =>
  new GatewayError('payload_too_large', `The body is larger than ${bytes} bytes.`)

/** The same, and why a body that is announced will not be taken. */
export const unfit = (head: Head, received: PolicyReceived, limits: ServerConfig['limits']): GatewayError | null =>
  unfitHead(head, limits) ??
  (Number(received.header('content-length') ?? 0) > limits.body ? tooLarge(limits.body) : null)

/**
 * Who sends it, before its body is waited for: a stranger's is not read. Returns why it is refused, or tells so later;
 * null = nothing is known against it.
 */
export function identify(
  received: PolicyReceived,
  auth: Authenticator | null,
  later: (error: GatewayError) => void,
): GatewayError | null {
  if (auth === null) return null
  try {
    received.identity = auth.identify(received)
    if (received.identity instanceof Promise)
      received.identity.catch((error: unknown) => later(GatewayError.from(error)))
    received.identifiedBy = auth
    return null
  } catch (error) {
    return GatewayError.from(error)
  }
}

/** Unpacks what the client has packed; then, or at once. error null = the body is in place. */
export function unpack(
  received: PolicyReceived,
  limits: ServerConfig['limits'],
  then: (error: GatewayError | null) => void,
): void {
  const text = received.header('content-encoding')
  const encoding = encodingOf(text)
  if (encoding === null || received.body.length === 0) then(null)
  else if (encoding === 'unknown')
    then(
      new GatewayError('unsupported_media_type', `The content encoding '${(text ?? '').slice(0, 50)}' is not known.`),
    )
  else
    decodeBody(received.body, encoding, limits.decompressedBody, (error, body) => {
      if (error === null) received.body = body
      then(
        error === null
          ? null
          : error === 'too_large'
            ? tooLarge(limits.decompressedBody)
            : new GatewayError('invalid_request', `The body is not valid ${encoding}.`, { param: 'content-encoding' }),
      )
    })
}
