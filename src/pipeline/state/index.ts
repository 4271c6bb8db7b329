import type { JsonObject } from '../../contracts/canonical.ts'
import type { Route } from '../../contracts/routing.ts'
import type { Exchange } from '../exchange.ts'
import type { KeptState } from '../policies.ts'
import type { Batches } from './batch/index.ts'
import { GatewayError } from '../../core/errors.ts'
import { readRequest } from '../../protocol/openai/request.ts'
import { wireFor } from '../translation.ts'
import { Background } from './background.ts'
import { loadChain, refersToOurs, withReferences } from './chain.ts'
import { Endpoints } from './endpoints.ts'
import { isKeptId, KEPT_PREFIX, newId } from './ids.ts'
import { forProvider, inputItems } from './items.ts'
import { KeepingWriter, Kept } from './kept.ts'
import { Shelf, type ShelfParts } from './shelf.ts'

export interface StateParts extends ShelfParts {
  /** +1 and -1 around each answer that is made in the background. */
  readonly inflight: (change: number) => void
  /** null = batches are the providers'. */
  readonly batches: Batches | null
}

/** Who may answer: backends that speak the Responses API themselves, and those that are translated to. */
interface Speakers {
  readonly native: boolean
  readonly translated: boolean
}

const PREVIOUS = Buffer.from('"previous_response_id"')
const REFERENCE = Buffer.from('"item_reference"')
const BACKGROUND = Buffer.from('"background"')

/** What is kept of answers of the Responses API, for one configuration. */
export class ResponseState implements KeptState {
  readonly #shelf: Shelf
  readonly #background: Background
  readonly #endpoints: Endpoints
  readonly #batches: Batches | null
  readonly #speakers = new WeakMap<Route, Speakers>()

  constructor(parts: StateParts) {
    this.#shelf = new Shelf(parts)
    this.#background = new Background(this.#shelf, parts.inflight)
    this.#endpoints = new Endpoints(this.#shelf, this.#background)
    this.#batches = parts.batches
  }

  takes(x: Exchange): boolean {
    return x.door === null && (this.#endpoints.takes(x) || this.#batches?.takes(x) === true)
  }

  ready(x: Exchange): void | Promise<void> {
    const { fields } = x
    if (x.operation !== 'responses' || x.door !== null || fields === null) return undefined
    const speakers = this.#speakersOf(x)
    const { body } = fields
    const refers = body.includes(PREVIOUS) || body.includes(REFERENCE)
    if (!speakers.translated && !refers) return undefined
    const sent = fields.json as JsonObject
    const previous = sent['previous_response_id']
    if (typeof previous === 'string' && !isKeptId(previous)) {
      if (!speakers.native) throw foreignPrevious(previous)
      // Only who has made it can go on from it.
      x.nativeOnly = 'previous_response_id'
      return undefined
    }
    if (typeof previous === 'string' || refersToOurs(sent['input'])) return this.#goOn(x, sent, speakers)
    this.#keep(x, sent, speakers, [])
    return undefined
  }

  #speakersOf(x: Exchange): Speakers {
    const { route } = x.match!
    let found = this.#speakers.get(route)
    if (found === undefined) {
      const { any, contextWindow, contentPolicy } = route.fallbacks
      const others = [...any, ...contextWindow, ...contentPolicy].flatMap(
        (name) => x.snapshot.table.match(name)?.route.targets ?? [],
      )
      const targets = [...route.targets, ...others]
      const translated = targets.some(({ provider }) => wireFor(provider, 'responses') !== null)
      const native = targets.some(({ provider }) => provider.config.operations.includes('responses'))
      found = { native, translated }
      this.#speakers.set(route, found)
    }
    return found
  }

  /** Puts what is kept before what the request says. */
  async #goOn(x: Exchange, sent: JsonObject, speakers: Speakers): Promise<void> {
    const owner = x.principal
    const previous = sent['previous_response_id']
    const chain = typeof previous === 'string' ? await loadChain(this.#shelf, owner, previous) : { ids: [], items: [] }
    if (x.over) return
    const input = sent['input']
    const own = Array.isArray(input) ? await withReferences(this.#shelf, owner, input) : input
    if (x.over) return
    const { previous_response_id: _previous, ...rest } = sent
    const said = speakers.native ? forProvider(chain.items) : chain.items
    const resolved = speakers.native && Array.isArray(own) && own !== input ? forProvider(own) : own
    const last = typeof resolved === 'string' ? [{ role: 'user', content: resolved }] : (resolved ?? [])
    rewrite(x, { ...rest, input: [...said, ...(Array.isArray(last) ? last : [last])] })
    // Items may bring tools: what the caller may do has been judged without them.
    if (x.principal.access.request(x) !== null)
      throw new GatewayError('permission_denied', 'This caller may not send this request.', {
        detail: 'what the conversation holds is not granted',
      })
    this.#keep(x, { ...rest, input: own ?? [] }, speakers, chain.ids)
  }

  /** Readies what is to be kept of the answer. sent: input without what came before. */
  #keep(x: Exchange, sent: JsonObject, { native, translated }: Speakers, before: readonly string[]): void {
    if (!translated) return
    const background = sent['background'] === true && x.fields!.body.includes(BACKGROUND)
    const stored = sent['store'] !== false
    if (background && native) {
      x.nativeOnly = 'background'
      return
    }
    if (background) {
      if (this.#shelf.config.background === 0)
        throw new GatewayError('unsupported_parameter', 'Nothing is made in the background here.', {
          param: 'background',
        })
      if (!stored)
        throw new GatewayError('invalid_request', "The field 'store' must not be false for `background: true`.", {
          param: 'store',
        })
      const { background: _background, ...rest } = x.fields!.json as JsonObject
      rewrite(x, rest)
    } else if (!stored && before.length === 0) return
    const id = newId(KEPT_PREFIX)
    const input = stored ? inputItems(sent['input'], id) : []
    const kept = new Kept({ id, owner: x.principal, before, input, background, stored })
    x.kept = kept
    if (stored && !background) x.writer = x.ownWriter = new KeepingWriter(x.ownWriter, kept, this.#shelf)
  }

  detach(x: Exchange): void | Promise<void> {
    const { kept } = x
    return kept?.background === true ? this.#background.begin(x, kept) : undefined
  }

  failOpen(error: GatewayError): void {
    this.#background.failAll(error)
    this.#batches?.failOpen(error)
  }

  async close(): Promise<void> {
    await Promise.all([this.#batches?.close(), this.#background.close()])
  }
}

const foreignPrevious = (id: string): GatewayError =>
  new GatewayError(
    'invalid_request',
    `Previous response with id '${id.slice(0, 100)}' not found: it was not made here, and the backend of this model does not keep responses.`,
    { param: 'previous_response_id', publicCode: 'previous_response_not_found', verbatim: true },
  )

/** The request as if the client had sent this. Throws GatewayError when it has become too large. */
function rewrite(x: Exchange, sent: JsonObject): void {
  const { limits } = x.services
  const body = Buffer.from(JSON.stringify(sent))
  if (body.length > limits.decompressedBody)
    throw new GatewayError('payload_too_large', `The conversation is larger than ${limits.decompressedBody} bytes.`)
  x.fields = readRequest('responses', body, { depth: limits.jsonDepth, keys: limits.jsonKeys })
}
