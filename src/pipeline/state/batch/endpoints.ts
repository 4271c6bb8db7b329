import type { Json, JsonObject } from '../../../contracts/canonical.ts'
import type { Exchange } from '../../exchange.ts'
import type { Runner } from './runner.ts'
import type { Vault } from './vault.ts'
import { GatewayError } from '../../../core/errors.ts'
import type { Matcher } from '../../../core/glob.ts'
import { isObject } from '../../../protocol/canonical/read.ts'
import { newId } from '../ids.ts'
import { pageOf } from '../items.ts'
import { readForm, type Form } from './form.ts'
import { ENDPOINTS } from './lines.ts'
import {
  BATCH_PREFIX,
  batchJson,
  callerOf,
  FILE_PREFIX,
  fileJson,
  isBatchId,
  isFileId,
  isFinal,
  type BatchRecord,
  type FileRecord,
} from './records.ts'

const PATH = /^\/(?:v1\/){0,2}(files|batches)(?:\/([^/]+))?(?:\/(content|cancel))?\/?$/
const WINDOW = /^(\d{1,4})([smhd])$/
const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const
const MAX_METADATA = 16
const MAX_PAGE = 10_000

const bad = (param: string, message: string): GatewayError => new GatewayError('invalid_request', message, { param })

const noSuch = (what: string, id: string): GatewayError =>
  new GatewayError('not_found', `No such ${what}: '${id.slice(0, 100)}'.`, { verbatim: true })

/** What clients do with files and batches that are run here. */
export class BatchEndpoints {
  readonly #vault: Vault
  readonly #runner: Runner
  readonly #runs: Matcher

  constructor(vault: Vault, runner: Runner, runs: Matcher) {
    this.#vault = vault
    this.#runner = runner
    this.#runs = runs
  }

  /** True = the request is for a file or batch of ours, or to become one, and is being answered. */
  takes(x: Exchange): boolean {
    const { path, method } = x.received
    // Of all other requests no more is asked.
    const found = path.includes('/files') || path.includes('/batches') ? PATH.exec(path) : null
    if (found === null || x.received.header('x-heddle-provider') !== undefined) return false
    const [, kind = '', id = '', what = ''] = found
    const answer = kind === 'files' ? this.#files(x, method, id, what) : this.#batches(x, method, id, what)
    if (answer === null) return false
    x.upstreamPath = `/${kind}`
    answer.then(
      (body) => {
        if (body !== null) x.reply(200, JSON.stringify(body))
      },
      (error: unknown) => x.fail(GatewayError.from(error)),
    )
    return true
  }

  /** null = not ours. */
  #files(x: Exchange, method: string, id: string, what: string): Promise<JsonObject | null> | null {
    if (id === '' && method === 'POST') {
      const type = x.received.header('content-type') ?? ''
      if (!type.startsWith('multipart/form-data')) return null
      const form = formOf(x.received.body, type)
      return form !== null && this.#isOurs(form) ? this.#upload(x, form) : null
    }
    if (id === '' && method === 'GET') return this.#listFiles(x)
    if (!isFileId(id)) return null
    if (what === 'content' && method === 'GET') return this.#content(x, id)
    if (what === '' && method === 'GET') return this.#file(x, id).then(fileJson)
    if (what === '' && method === 'DELETE') return this.#deleteFile(x, id)
    return Promise.reject(wrongMethod(x, what === 'content' ? 'GET' : 'GET, DELETE'))
  }

  #batches(x: Exchange, method: string, id: string, what: string): Promise<JsonObject | null> | null {
    if (id === '' && method === 'POST') {
      const body = bodyOf(x)
      return body !== null && isFileId(String(body['input_file_id'])) ? this.#create(x, body) : null
    }
    if (id === '' && method === 'GET') return this.#listBatches(x)
    if (!isBatchId(id)) return null
    if (what === 'cancel' && method === 'POST') return this.#cancel(x, id)
    if (what === '' && method === 'GET') return this.#batch(x, id).then(batchJson)
    return Promise.reject(wrongMethod(x, what === 'cancel' ? 'POST' : 'GET'))
  }

  // ── files ─────────────────────────────────────────────────────────────────
  /** Its first line names a model whose batches run here; others are for the provider. */
  #isOurs({ fields, file }: Form): boolean {
    if (fields.get('purpose') !== 'batch' || file === null) return false
    const end = file.content.indexOf('\n')
    const first = file.content.toString('utf8', 0, end < 0 ? undefined : end)
    try {
      const line = JSON.parse(first) as Json
      const body = isObject(line) ? line['body'] : null
      const model = isObject(body) ? body['model'] : null
      return typeof model === 'string' && this.#runs(model)
    } catch {
      return false
    }
  }

  async #upload(x: Exchange, { file }: Form): Promise<JsonObject> {
    const { name, content } = file!
    const { maxFileBytes, ttlMs } = this.#vault.config
    if (content.length > maxFileBytes)
      throw new GatewayError('payload_too_large', `The file is larger than ${maxFileBytes} bytes.`, { param: 'file' })
    const id = newId(FILE_PREFIX)
    const createdAt = Math.floor(x.services.clock.now() / 1000)
    const record: FileRecord = {
      id,
      bytes: content.length,
      createdAt,
      expiresAt: createdAt + Math.floor(ttlMs / 1000),
      filename: name.slice(0, 256),
      purpose: 'batch',
      parts: await this.#vault.putContent(x.principal, id, content),
    }
    await this.#vault.putFile(x.principal, record)
    return fileJson(record)
  }

  async #file(x: Exchange, id: string): Promise<FileRecord> {
    const file = await this.#vault.file(x.principal, id)
    if (file === null) throw noSuch('File object', id)
    return file
  }

  async #listFiles(x: Exchange): Promise<JsonObject> {
    const query = new URLSearchParams(x.received.query)
    const purpose = query.get('purpose')
    const files = (await this.#vault.files(x.principal))
      .filter((file) => purpose === null || file.purpose === purpose)
      .toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
    return paged(files, query, MAX_PAGE, (file) => fileJson(file))
  }

  async #deleteFile(x: Exchange, id: string): Promise<JsonObject> {
    await this.#vault.deleteFile(x.principal, await this.#file(x, id))
    return { id, object: 'file', deleted: true }
  }

  /** Part by part, as fast as the client reads. */
  async #content(x: Exchange, id: string): Promise<null> {
    const file = await this.#file(x, id)
    if (x.over) return null
    const name = file.filename.replaceAll(/[^\w.-]/g, '_')
    const headers = ['content-type', 'application/octet-stream', 'content-length', String(file.bytes)]
    x.writer.head(200, [...headers, 'content-disposition', `attachment; filename="${name}"`, 'x-request-id', x.id])
    for (let part = 0; part < file.parts && !x.over; part++) {
      const bytes = await this.#vault.getPart(x.principal, id, part).catch(() => null)
      if (bytes === null) {
        // Only a broken connection says that it is not all.
        x.writer.destroy()
        return null
      }
      if (!x.over && !x.writer.write(bytes)) await new Promise<void>((resume) => (x.source = { resume }))
    }
    if (x.over) return null
    x.writer.end()
    x.replied(200, file.bytes)
    return null
  }

  // ── batches ───────────────────────────────────────────────────────────────
  async #create(x: Exchange, body: JsonObject): Promise<JsonObject> {
    const { principal } = x
    const { endpoint, completion_window: window, input_file_id: inputFileId, metadata } = body
    if (!(ENDPOINTS as readonly unknown[]).includes(endpoint))
      throw bad('endpoint', `The field 'endpoint' must be one of ${ENDPOINTS.join(', ')}.`)
    const { config } = this.#vault
    const seconds = windowSeconds(window, config.ttlMs)
    if (metadata !== undefined && metadata !== null && !isMetadata(metadata))
      throw bad('metadata', `The field 'metadata' must be an object of at most ${MAX_METADATA} texts.`)
    const file = await this.#vault.file(principal, String(inputFileId))
    if (file === null || file.purpose !== 'batch') throw noSuch('File object', String(inputFileId))
    if ((await this.#vault.countOpen(principal)) >= config.maxOpen)
      throw new GatewayError('rate_limited', `At most ${config.maxOpen} batches may be under way.`, {
        retryAfterMs: 60_000,
      })
    const now = Math.floor(x.services.clock.now() / 1000)
    const batch: BatchRecord = {
      id: newId(BATCH_PREFIX),
      caller: callerOf(principal),
      endpoint: String(endpoint),
      inputFileId: file.id,
      window: String(window),
      metadata: metadata ?? null,
      createdAt: now,
      expiresAt: now + seconds,
      status: 'validating',
      times: {},
      errors: [],
      total: 0,
      done: 0,
      ahead: [],
      completed: 0,
      failed: 0,
      output: { id: newId(FILE_PREFIX), parts: 0, bytes: 0 },
      error: { id: newId(FILE_PREFIX), parts: 0, bytes: 0 },
    }
    await this.#runner.begin(batch, principal)
    return batchJson(batch)
  }

  async #batch(x: Exchange, id: string): Promise<BatchRecord> {
    const batch = await this.#vault.batch(x.principal, id)
    if (batch === null) throw noSuch('batch', id)
    if (isFinal(batch) || !(await this.#vault.isCancelled(x.principal, id))) return batch
    return { ...batch, status: 'cancelling' }
  }

  async #listBatches(x: Exchange): Promise<JsonObject> {
    const query = new URLSearchParams(x.received.query)
    const entries = await this.#vault.batches(x.principal)
    const page = paged(entries, query, 100, ({ id }) => ({ id }))
    const ids = (page['data'] as JsonObject[]).map((entry) => String(entry['id']))
    const batches = await Promise.all(ids.map((id) => this.#vault.batch(x.principal, id)))
    return { ...page, data: batches.flatMap((batch) => (batch === null ? [] : [batchJson(batch)])) }
  }

  async #cancel(x: Exchange, id: string): Promise<JsonObject> {
    const batch = await this.#batch(x, id)
    if (isFinal(batch))
      throw new GatewayError('invalid_request', `A batch with status '${batch.status}' cannot be cancelled.`, {
        status: 409,
      })
    await this.#vault.cancel(batch)
    this.#runner.cancelled(id)
    return batchJson({ ...batch, status: 'cancelling' })
  }
}

const wrongMethod = (x: Exchange, allow: string): GatewayError =>
  new GatewayError('method_not_allowed', `The method ${x.received.method} is not used at ${x.received.path}.`, {
    headers: ['allow', allow],
  })

/** null = it cannot be read: whether it is one the provider may say. */
function formOf(body: Buffer, type: string): Form | null {
  try {
    return readForm(body, type)
  } catch {
    return null
  }
}

/** null = no JSON object. */
function bodyOf(x: Exchange): JsonObject | null {
  try {
    const value = JSON.parse(x.received.body.toString()) as Json
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

/** `24h` as the API has it; others as well, up to how long things are kept. */
function windowSeconds(window: Json | undefined, ttlMs: number): number {
  const found = typeof window === 'string' ? WINDOW.exec(window) : null
  const seconds = found === null ? 0 : Number(found[1]) * UNITS[found[2] as keyof typeof UNITS]
  if (seconds <= 0 || seconds * 1000 > ttlMs)
    throw bad('completion_window', "The field 'completion_window' must be a time such as `24h`.")
  return seconds
}

const isMetadata = (value: Json): boolean =>
  isObject(value) &&
  Object.keys(value).length <= MAX_METADATA &&
  Object.values(value).every((text) => typeof text === 'string' && text.length <= 512)

/** all: in the order of the list when none is asked for. */
function paged<T extends { readonly id: string }>(
  all: readonly T[],
  query: URLSearchParams,
  most: number,
  json: (one: T) => JsonObject,
): JsonObject {
  const limit = Number(query.get('limit') ?? Math.min(20, most))
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > most)
    throw bad('limit', `The field 'limit' must be from 1 to ${most}.`)
  const order = query.get('order') === 'desc' ? 'desc' : 'asc'
  const page = pageOf(all, { after: query.get('after'), limit, order })
  if (page === null) throw bad('after', 'There is nothing with the id that `after` names.')
  return { ...page, data: (page['data'] as unknown as T[]).map(json) }
}
