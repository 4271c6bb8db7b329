import type { ClientSide, Received, ReplyWriter } from '../contracts/http.ts'
import type { GatewayError } from '../core/errors.ts'
import type { OpenMember } from '../core/open-list.ts'

/** As the listener of the API has it, which this folder must not import: a path of another protocol on the same port. */
export interface OpenExchange extends OpenMember, ClientSide {
  begin(): void
  fail(error: GatewayError): void
}

export interface SideDoor {
  takes(path: string): boolean
  open(received: Received, reply: ReplyWriter): OpenExchange
  errorBody(error: GatewayError, requestId: string): string
}
