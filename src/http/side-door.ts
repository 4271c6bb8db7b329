import type { ClientSide, Received, ReplyWriter } from '../contracts/http.ts'
import type { GatewayError } from '../core/errors.ts'
import type { OpenMember } from '../core/open-list.ts'

/** One request from its receipt to its end, whoever answers it. */
export interface OpenExchange extends OpenMember, ClientSide {
  /** The body is here. Never throws. */
  begin(): void
  /** It ends with an error, however far it is. Never throws. */
  fail(error: GatewayError): void
}

/** Another protocol on the same port. Who it is, how large a body may be and when nothing is taken is decided alike. */
export interface SideDoor {
  takes(path: string): boolean
  open(received: Received, reply: ReplyWriter): OpenExchange
  /** JSON for a request that is refused before anything is opened. */
  errorBody(error: GatewayError, requestId: string): string
}
