import type { TimerWheel } from '../core/wheel.ts'
import type { Client, Origin } from './client.ts'
import type { Filter } from './client-stream.ts'
import type { Link } from './link.ts'
import type { ServerCall, CallListener } from './server-call.ts'
import type { ServerTicket } from './session-token.ts'
import type { ToClient } from './to-client.ts'
import type { GatewayError } from '../core/errors.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { requestTo } from './envelope.ts'
import { MODERN } from './revisions.ts'
import { ServerRefusal } from './server-error.ts'
import { placeOfUri } from './names.ts'
import { fromServer } from './to-client.ts'

/** A stream that a server ends is opened again after this, ms; each time in vain it takes twice as long. */
const AGAIN_MS = 1000
const MAX_AGAIN_MS = 60_000

export interface TapParts {
  readonly link: Link
  readonly client: Client
  readonly to: ToClient
  readonly filter: Filter
  readonly wheel: TimerWheel
  readonly origin: Origin
}

/** What one server says of its own accord to one client, as long as the client listens. */
export class Tap {
  readonly #parts: TapParts
  readonly #again: CallbackTimer
  #call: ServerCall | null = null
  #waitMs = AGAIN_MS
  #lastEventId = ''
  #over = false
  #slow = false

  constructor(parts: TapParts) {
    this.#parts = parts
    this.#again = new CallbackTimer(() => this.open())
  }

  open(): void {
    if (this.#over) return
    const { link, client } = this.#parts
    // A session of the client's own that has not begun has nothing to say; one for all its calls begins now.
    const ticket = link.knownTicket(client)
    if (ticket !== null) this.#listen(ticket)
    else if (client.modern)
      Promise.resolve(link.ticketOf(client)).then(
        (found) => this.#listen(found),
        () => this.#later(),
      )
    else this.#later()
  }

  #later(): void {
    if (this.#over) return
    this.#parts.wheel.arm(this.#again, this.#waitMs)
    this.#waitMs = Math.min(MAX_AGAIN_MS, this.#waitMs * 2)
  }

  #listen(ticket: ServerTicket): void {
    if (this.#over) return
    const { link, client, origin } = this.#parts
    const isModern = ticket.revision === MODERN
    // Without a session there is no one whom the server could mean.
    if (!isModern && ticket.id === '') return
    const options = { tenant: client.tenant, origin, timeoutMs: 0 }
    const listener: CallListener = {
      onMessage: (message, text) => {
        this.#waitMs = AGAIN_MS
        if (message.kind === 'response' || message.method === 'notifications/subscriptions/acknowledged') return
        fromServer(this.#parts.to, { client, link, ticket, message, text })
      },
      onEnd: (fault) => this.#ended(ticket, fault),
    }
    try {
      this.#call = isModern
        ? link.post(this.#subscription(ticket), options, listener)
        : link.listen(ticket, this.#lastEventId, options, listener)
      if (this.#slow) this.#call.pause()
    } catch {
      this.#later()
    }
  }

  #subscription(ticket: ServerTicket) {
    const { link, client, filter, to } = this.#parts
    const uris = (filter.resourceSubscriptions ?? []).flatMap((uri) => {
      if (to.view.scope !== '') return [uri]
      const place = placeOfUri(uri)
      return place?.server === link.name ? [place.name] : []
    })
    const { resourceSubscriptions: _, ...flags } = filter
    const notifications = uris.length === 0 ? flags : { ...flags, resourceSubscriptions: uris }
    return requestTo(client, ticket, { id: link.newId(), method: 'subscriptions/listen', params: { notifications } })
  }

  #ended(ticket: ServerTicket, fault: GatewayError | null): void {
    const { link, client } = this.#parts
    this.#lastEventId = this.#call?.lastEventId ?? ''
    this.#call = null
    if (this.#over) return
    if (fault !== null && link.isForgotten(fault, ticket)) {
      link.forget(client, ticket)
      this.#lastEventId = ''
    } else if (fault instanceof ServerRefusal && fault.httpStatus < 500 && fault.httpStatus !== 429) {
      // It has no such stream.
      this.close()
      return
    }
    this.#later()
  }

  onSlow(slow: boolean): void {
    this.#slow = slow
    if (slow) this.#call?.pause()
    else this.#call?.resume()
  }

  close(): void {
    this.#over = true
    this.#parts.wheel.disarm(this.#again)
    this.#call?.abort()
    this.#call = null
  }
}
