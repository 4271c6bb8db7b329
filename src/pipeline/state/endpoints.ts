import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { Owner } from '../../store/blob-key.ts'
import type { Exchange } from '../exchange.ts'
import type { Background } from './background.ts'
import type { KeptRecord } from './record.ts'
import type { Shelf } from './shelf.ts'
import { GatewayError } from '../../core/errors.ts'
import { sleep } from '../../core/sleep.ts'
import { isObject } from '../../protocol/canonical/read.ts'
import { failedResponse } from './background.ts'
import { recordsBefore, saidIn } from './chain.ts'
import { isKeptId, KEPT_PREFIX } from './ids.ts'
import { pageOf, type Page } from './items.ts'
import { isOpen, statusOf } from './record.ts'
import { numberOf, replayEvents, splitEvents } from './replay.ts'

const PATH = /^\/(?:v1\/){0,2}responses\/([^/]+)(?:\/(cancel|input_items))?\/?$/
const EVENTS = 'text/event-stream; charset=utf-8'
/** Between two looks for events of a stream that is still being made, ms. */
const FOLLOW_MS = 150
/** A stream without news for so long gets a comment, ms. */
const BEAT_MS = 10_000
const MAX_PAGE = 100
const PAGE = 20

const notFound = (id: string): GatewayError =>
  new GatewayError('not_found', `Response with id '${id.slice(0, 100)}' not found.`, { verbatim: true })

const LOST = new GatewayError('internal', 'The process that made the response has ended before it was whole.')

/** What clients do with answers that are kept. */
export class Endpoints {
  readonly #shelf: Shelf
  readonly #background: Background

  constructor(shelf: Shelf, background: Background) {
    this.#shelf = shelf
    this.#background = background
  }

  /** True = the request is for an answer of ours, and is being answered. */
  takes(x: Exchange): boolean {
    const { path } = x.received
    // Of all other requests no more is asked.
    const found = path.includes(KEPT_PREFIX) ? PATH.exec(path) : null
    const id = found?.[1] ?? ''
    if (!isKeptId(id)) return false
    x.operation = 'responses'
    x.upstreamPath = '/responses/{id}'
    this.#answer(x, id, found![2] ?? '').catch((error: unknown) => x.fail(GatewayError.from(error)))
    return true
  }

  async #answer(x: Exchange, id: string, what: string): Promise<void> {
    const { method } = x.received
    const owner = x.principal
    const query = new URLSearchParams(x.received.query)
    if (what === 'cancel' && method === 'POST') x.reply(200, JSON.stringify(await this.#cancel(owner, id)))
    else if (what === 'input_items' && method === 'GET')
      x.reply(200, JSON.stringify(await this.#inputItems(owner, id, query)))
    else if (what === '' && method === 'DELETE') x.reply(200, JSON.stringify(await this.#delete(owner, id)))
    else if (what === '' && method === 'GET' && query.get('stream') === 'true') await this.#stream(x, id, query)
    else if (what === '' && method === 'GET') x.reply(200, JSON.stringify((await this.#current(owner, id)).response))
    else
      throw new GatewayError('method_not_allowed', `The method ${method} is not used at ${x.received.path}.`, {
        headers: ['allow', what === 'cancel' ? 'POST' : what === 'input_items' ? 'GET' : 'GET, DELETE'],
      })
  }

  /** As it is now. What nobody makes any more has failed. */
  async #current(owner: Owner, id: string): Promise<KeptRecord> {
    const record = await this.#shelf.get(owner, id)
    if (record === null) throw notFound(id)
    if (!isOpen(record) || (await this.#shelf.isAlive(owner, id))) return record
    // It may have become whole since it was read.
    const again = await this.#shelf.get(owner, id)
    if (again === null) throw notFound(id)
    if (!isOpen(again)) return again
    const failed = { ...again, response: failedResponse(again.response, LOST), parts: -1 }
    if (await this.#shelf.end(owner, id)) await this.#shelf.put(owner, id, failed)
    return failed
  }

  async #delete(owner: Owner, id: string): Promise<JsonObject> {
    const record = await this.#shelf.get(owner, id)
    if (record === null) throw notFound(id)
    if (isOpen(record)) await this.#shelf.end(owner, id)
    await this.#shelf.delete(owner, id)
    await this.#shelf.dropParts(owner, id, record.parts)
    this.#background.cancel(id)
    return { id, object: 'response', deleted: true }
  }

  /** Only of answers made in the background; of one that is over it changes nothing (openai-openapi `cancelResponse`). */
  async #cancel(owner: Owner, id: string): Promise<JsonObject> {
    const record = await this.#current(owner, id)
    if (record.response['background'] !== true)
      throw new GatewayError('invalid_request', 'Only responses that are made in the background can be cancelled.')
    if (!isOpen(record) || !(await this.#shelf.end(owner, id))) return (await this.#current(owner, id)).response
    const response = { ...record.response, status: 'cancelled' }
    await this.#shelf.put(owner, id, { ...record, response, parts: -1 })
    this.#background.cancel(id)
    return response
  }

  async #inputItems(owner: Owner, id: string, query: URLSearchParams): Promise<JsonObject> {
    const record = await this.#shelf.get(owner, id)
    if (record === null) throw notFound(id)
    const before = await recordsBefore(this.#shelf, owner, record)
    const items = [...before.flatMap(saidIn), ...record.input].filter(hasId)
    const page = pageOf(items, pageIn(query))
    if (page === null)
      throw new GatewayError('invalid_request', `There is no item '${query.get('after')?.slice(0, 100)}'.`, {
        param: 'after',
      })
    return page
  }

  // ── streams ───────────────────────────────────────────────────────────────
  async #stream(x: Exchange, id: string, query: URLSearchParams): Promise<void> {
    const owner = x.principal
    const after = query.has('starting_after') ? Number(query.get('starting_after')) : -1
    if (!Number.isSafeInteger(after))
      throw new GatewayError('invalid_request', "The field 'starting_after' must be a whole number.", {
        param: 'starting_after',
      })
    const record = await this.#current(owner, id)
    if (isOpen(record) && record.parts < 0)
      throw new GatewayError('invalid_request', 'Only a response that was asked for as a stream can be streamed.', {
        param: 'stream',
      })
    if (x.over) return
    x.stream = true
    x.writer.head(200, ['content-type', EVENTS, 'cache-control', 'no-cache', 'x-request-id', x.id])
    const out = new EventsOut(x, after)
    if (record.parts < 0) out.tell(replayEvents(record.response))
    else await this.#follow(owner, id, out)
    if (x.over) return
    x.writer.end()
    x.replied(200, out.bytes)
  }

  /** Events that were put away, and those that are still to come. */
  async #follow(owner: Owner, id: string, out: EventsOut): Promise<void> {
    for (let part = 0; !out.over;) {
      const text = await this.#shelf.getPart(owner, id, part)
      if (text !== null) {
        part++
        out.tell(text)
        continue
      }
      const record = await this.#current(owner, id)
      if (record.parts > part) continue // put away meanwhile
      if (!isOpen(record)) {
        // The end of one that was cancelled or lost stands in no event yet.
        if (record.parts !== part) out.end(record)
        return
      }
      out.beat()
      await sleep(FOLLOW_MS, false)
    }
  }
}

const hasId = (item: Json): item is JsonObject & { readonly id: string } =>
  isObject(item) && typeof item['id'] === 'string'

function pageIn(query: URLSearchParams): Page {
  const limit = Number(query.get('limit') ?? PAGE)
  const order = query.get('order') ?? 'desc'
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_PAGE)
    throw new GatewayError('invalid_request', `The field 'limit' must be from 1 to ${MAX_PAGE}.`, { param: 'limit' })
  if (order !== 'asc' && order !== 'desc')
    throw new GatewayError('invalid_request', "The field 'order' must be asc or desc.", { param: 'order' })
  return { after: query.get('after'), limit, order }
}

/** Writes events that come after a number. */
class EventsOut {
  readonly #x: Exchange
  readonly #after: number
  #rest = ''
  #last = -1
  #toldAt: number
  bytes = 0

  constructor(x: Exchange, after: number) {
    this.#x = x
    this.#after = after
    this.#toldAt = x.services.clock.monotonic()
  }

  get over(): boolean {
    return this.#x.over || !this.#x.writer.open
  }

  #write(text: string): void {
    this.bytes += text.length
    this.#toldAt = this.#x.services.clock.monotonic()
    this.#x.writer.write(text)
  }

  tell(text: string): void {
    const { events, rest } = splitEvents(this.#rest + text)
    this.#rest = rest
    let out = ''
    for (const event of events) {
      const number = numberOf(event)
      if (number < 0) continue
      this.#last = number
      if (number > this.#after) out += event
    }
    if (out !== '') this.#write(out)
  }

  end(record: KeptRecord): void {
    const type = `response.${statusOf(record)}`
    const data = { type, sequence_number: this.#last + 1, response: record.response }
    this.#write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  beat(): void {
    if (this.#x.services.clock.monotonic() - this.#toldAt > BEAT_MS) this.#write(': heartbeat\n\n')
  }
}
