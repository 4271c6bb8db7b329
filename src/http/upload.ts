import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Upload } from '../contracts/upstream.ts'
import { PROVIDER_PATHS } from '../pipeline/provider-path.ts'
import type { NodeReceived } from './node-received.ts'

/** The body of a request, handed on as it comes and read as fast as it is taken. */
export class NodeUpload implements Upload {
  readonly length: number
  bytes = 0
  begun = false
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #expects: boolean

  /** length: as declared, -1 = not. expects: the client waits to be told to begin (RFC 9110 10.1.1). */
  constructor(req: IncomingMessage, res: ServerResponse, length: number, expects: boolean) {
    this.#req = req
    this.#res = res
    this.length = length
    this.#expects = expects
  }

  /** Once. Throws when the client leaves before the end. */
  async *[Symbol.asyncIterator](): AsyncIterator<Buffer> {
    if (this.begun) throw new Error('the body has been read')
    this.begun = true
    if (this.#expects && !this.#res.headersSent) this.#res.writeContinue()
    // What is left when nobody reads on is for the handler to drop: destroying it here would cost the answer.
    for await (const chunk of this.#req.iterator({ destroyOnReturn: false })) {
      this.bytes += (chunk as Buffer).length
      yield chunk as Buffer
    }
  }
}

const JUDGED = /^(?:application\/(?:[\w.-]+\+)?json|multipart\/form-data|text\/json)\b/i

/**
 * One provider's own path, with a body that tells nothing by which it would be judged: no JSON, no form. Packed ones and
 * those without a type may hold JSON.
 */
export function isUpload(received: NodeReceived): boolean {
  if (received.asks || !received.path.startsWith(PROVIDER_PATHS)) return false
  if (received.header('content-encoding') !== undefined) return false
  const type = received.header('content-type') ?? ''
  return type !== '' && !JUDGED.test(type)
}
