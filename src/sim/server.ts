/** The HTTP side of the simulator: reads requests, applies faults, writes answers. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import type { Answer } from './answer.ts'
import type { Call, SimState } from './call.ts'
import type { Open } from './deliver.ts'
import { beforeAnswer, deliver } from './deliver.ts'
import { ApiError, badRequest } from './errors.ts'
import type { FaultGate, FaultSet } from './faults.ts'
import { FaultSpecError, NO_FAULTS, parseFaults, SPLIT_UTF8_TEXT, splitModel } from './faults.ts'
import type { JsonObject } from './json.ts'
import { isObject, parseJson } from './json.ts'
import { fieldText, parseMultipart } from './multipart.ts'
import type { Quota } from './quota.ts'
import type { Recorder } from './recorder.ts'
import { answerCall, wireOf } from './routes.ts'
import type { Asked } from './substitutes.ts'
import { senseless, substituteFor } from './substitutes.ts'
import type { Arrived, SimWire } from './wire.ts'

/** Bytes of a request body. */
const MAX_BODY = 256 * 1024 * 1024
const MAX_HEADER_BYTES = 64 * 1024
const KEEP_ALIVE_MS = 65_000

export interface ServerParts {
  readonly state: SimState
  readonly recorder: Recorder
  readonly gate: FaultGate
  readonly quota: Quota
  readonly defaults: FaultSet
  readonly apiKey: string | undefined
}

const readBody = (req: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= MAX_BODY) chunks.push(chunk)
    })
    req.on('end', () => {
      if (size > MAX_BODY) reject(new ApiError(413, `The body is larger than ${MAX_BODY} bytes.`))
      else resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks))
    })
    req.on('error', reject)
  })

const decode = (raw: Buffer, encoding: string | undefined): Buffer => {
  try {
    if (encoding === 'gzip') return gunzipSync(raw)
    if (encoding === 'deflate') return inflateSync(raw)
    if (encoding === 'br') return brotliDecompressSync(raw)
    return raw
  } catch {
    throw badRequest(`The body is not valid ${encoding ?? ''} data.`, null, 'invalid_encoding')
  }
}

interface Parsed {
  readonly body: JsonObject
  readonly model: string
  /** A malformed body is an error of the operation, after faults and authentication. */
  readonly error: ApiError | undefined
}

interface Read {
  readonly body: JsonObject
  readonly error?: ApiError
}

const NOT_JSON = 'We could not parse the JSON body of your request. The OpenAI API expects a JSON payload.'

const readJson = (raw: Buffer, wire: SimWire): Read => {
  try {
    const value = parseJson(raw.toString('utf8'))
    return isObject(value) ? { body: value } : { body: {}, error: badRequest('The body must be a JSON object.', null) }
  } catch (error) {
    const said = wire.name === 'openai' ? NOT_JSON : `The request body is not valid JSON: ${String(error)}`
    return { body: {}, error: badRequest(said, null) }
  }
}

const parseBody = (req: IncomingMessage, raw: Buffer, arrived: Arrived, wire: SimWire): Parsed => {
  const type = req.headers['content-type'] ?? ''
  if (/^multipart\//i.test(type)) {
    try {
      return { body: {}, model: fieldText(parseMultipart(type, raw), 'model') ?? '', error: undefined }
    } catch (error) {
      return { body: {}, model: '', error: asApiError(error) }
    }
  }
  const none = raw.length === 0 || (type !== '' && !/json/i.test(type))
  const { body, error } = none ? { body: {} } : readJson(raw, wire)
  return { body, model: wire.modelOf(arrived, body), error }
}

/** Never throws: what is wrong with the body is in `parsed.error`. */
const decoded = (req: IncomingMessage, sent: Buffer, of: Arrived, wire: SimWire): { raw: Buffer; parsed: Parsed } => {
  try {
    const raw = decode(sent, req.headers['content-encoding'])
    return { raw, parsed: parseBody(req, raw, of, wire) }
  } catch (error) {
    return { raw: sent, parsed: { body: {}, model: wire.modelOf(of, {}), error: asApiError(error) } }
  }
}

const splitTarget = (url: string): { path: string; query: URLSearchParams } => {
  const mark = url.indexOf('?')
  return mark < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) }
}

/** Defaults, then the header's, then the model's: a later one of the same name wins. */
const mergeFaults = (...sets: readonly FaultSet[]): FaultSet => {
  const used = sets.filter((set) => set.size > 0)
  return used.length <= 1 ? (used[0] ?? NO_FAULTS) : new Map(used.flatMap((set) => [...set]))
}

const asApiError = (error: unknown): ApiError => {
  if (error instanceof ApiError) return error
  if (error instanceof FaultSpecError) return badRequest(error.message, null, 'sim_bad_fault')
  return new ApiError(500, `The simulator failed: ${error instanceof Error ? error.message : String(error)}`)
}

/** @param now the moment that the headers report on as well. */
const operation = (parts: ServerParts, call: Call, parsed: Parsed, { wire, key }: Asked, now: number): Answer => {
  if (parsed.error !== undefined && (wire.name !== 'openai' || call.path.startsWith('/v1/'))) throw parsed.error
  const answer = answerCall(call, wire)
  const { prompt = 0, completion = 0 } = answer.use ?? {}
  parts.quota.take(key, prompt + completion, now)
  parts.recorder.tokens(prompt, completion)
  return answer
}

interface Named {
  readonly model: string
  readonly faults: FaultSet
}

/** What the header, the model's name and the command line ask for, as far as it is this request's turn. */
const faultsFor = (parts: ServerParts, req: IncomingMessage, named: Named, wire: SimWire): FaultSet => {
  const header = req.headers['x-sim-fault']
  const asked = header === undefined ? NO_FAULTS : parseFaults(String(header))
  const wanted = mergeFaults(parts.defaults, asked, named.faults)
  if (wanted.size === 0) return NO_FAULTS
  const never = wire.never(wanted)
  if (never !== undefined) throw senseless(never, wire)
  return parts.gate.pass(named.model, wanted)
}

const handle = async (parts: ServerParts, req: IncomingMessage, open: Open, requestId: string): Promise<void> => {
  const { state, recorder, quota } = parts
  const sent = await readBody(req)
  const start = performance.now()
  const arrived: Arrived = { ...splitTarget(req.url ?? '/'), headers: req.headers }
  const { path, query, headers } = arrived
  const wire = wireOf(path)
  const key = wire.keyOf(arrived)
  let faults = NO_FAULTS
  let answer: Answer
  try {
    const { raw, parsed } = decoded(req, sent, arrived, wire)
    const { method = '', url = '', rawHeaders } = req
    recorder.request(
      { requestId, method, path: url, headers, rawHeaders, body: sent, at: start, model: parsed.model },
      path,
    )
    const named = splitModel(parsed.model)
    faults = faultsFor(parts, req, named, wire)
    if (faults.size > 0) {
      recorder.faultsApplied(faults.keys())
      if (!(await beforeAnswer(open, faults))) return
    }
    if (parts.apiKey !== undefined) wire.checkKey(arrived, parts.apiKey)
    const suffix = faults.has('split_utf8') ? SPLIT_UTF8_TEXT : ''
    const call: Call = { state, method, path, query, headers, raw, body: parsed.body, model: named.model, suffix }
    const asked: Asked = { wire, requestId, key, model: named.model, arrived }
    answer =
      (faults.size > 0 ? substituteFor(faults, asked) : undefined) ?? operation(parts, call, parsed, asked, start)
  } catch (error) {
    answer = wire.error(asApiError(error), requestId)
  }
  await deliver(open, answer, faults, {
    'x-request-id': requestId,
    ...wire.headers(requestId, quota.levels(key, start), performance.now() - start),
  })
}

const track = (parts: ServerParts, req: IncomingMessage, open: Open, requestId: string): void => {
  const { recorder } = parts
  recorder.opened()
  open.res.once('close', () => {
    if (open.res.writableFinished) return recorder.finished(open.res.statusCode)
    const last = recorder.received.findLast((entry) => entry.requestId === requestId)
    recorder.aborted(
      open.ownClose ? undefined : { requestId, at: performance.now(), path: req.url ?? '', model: last?.model ?? '' },
    )
  })
}

/** Not listening yet. */
export const createSimServer = (parts: ServerParts): Server => {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: 0 })
  server.on('connection', () => parts.recorder.connection())
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    const requestId = `req_${parts.state.nextId(32)}`
    const open: Open = { res, ownClose: false }
    track(parts, req, open, requestId)
    handle(parts, req, open, requestId).catch(() => {
      // The peer went away while sending or reading: `track` has noted it.
      res.destroy()
    })
  })
  return server
}
