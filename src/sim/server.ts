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
import { asString, isObject, parseJson } from './json.ts'
import { fieldText, parseMultipart } from './multipart.ts'
import type { Quota } from './quota.ts'
import type { Recorder } from './recorder.ts'
import { answerCall } from './routes.ts'
import { errorAnswer, substituteFor } from './substitutes.ts'

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

/** The API key of a request, however it is sent; empty if there is none. */
const keyOf = (req: IncomingMessage): string => {
  const bearer = /^bearer\s+(.+)$/i.exec(req.headers.authorization ?? '')?.[1]
  return bearer ?? String(req.headers['api-key'] ?? req.headers['x-api-key'] ?? '')
}

const checkKey = (key: string, wanted: string | undefined): void => {
  if (wanted === undefined || key === wanted) return
  if (key === '') {
    const message =
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
    throw new ApiError(401, message, { code: null })
  }
  const shown = key.length > 8 ? `${key.slice(0, 4)}****${key.slice(-4)}` : '****'
  throw new ApiError(401, `Incorrect API key provided: ${shown}.`)
}

interface Parsed {
  readonly body: JsonObject
  readonly model: string
  /** A malformed body is an error of the operation, after faults and authentication. */
  readonly error: ApiError | undefined
}

const parseBody = (req: IncomingMessage, raw: Buffer): Parsed => {
  if (raw.length === 0) return { body: {}, model: '', error: undefined }
  const type = req.headers['content-type'] ?? ''
  try {
    if (/^multipart\//i.test(type)) {
      return { body: {}, model: fieldText(parseMultipart(type, raw), 'model') ?? '', error: undefined }
    }
    if (type !== '' && !/json/i.test(type)) return { body: {}, model: '', error: undefined }
    const value = parseJson(raw.toString('utf8'))
    if (isObject(value)) return { body: value, model: asString(value['model']) ?? '', error: undefined }
    return { body: {}, model: '', error: badRequest('The body must be a JSON object.', null) }
  } catch (error) {
    if (error instanceof ApiError) return { body: {}, model: '', error }
    const message = 'We could not parse the JSON body of your request. The OpenAI API expects a JSON payload.'
    return { body: {}, model: '', error: badRequest(message, null) }
  }
}

/** Never throws: what is wrong with the body is in `parsed.error`. */
const decoded = (req: IncomingMessage, sent: Buffer): { raw: Buffer; parsed: Parsed } => {
  try {
    const raw = decode(sent, req.headers['content-encoding'])
    return { raw, parsed: parseBody(req, raw) }
  } catch (error) {
    return { raw: sent, parsed: { body: {}, model: '', error: asApiError(error) } }
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
const operation = (parts: ServerParts, call: Call, parsed: Parsed, key: string, now: number): Answer => {
  if (parsed.error !== undefined && call.path.startsWith('/v1/')) throw parsed.error
  const answer = answerCall(call)
  const { prompt = 0, completion = 0 } = answer.use ?? {}
  parts.quota.take(key, prompt + completion, now)
  parts.recorder.tokens(prompt, completion)
  return answer
}

const handle = async (parts: ServerParts, req: IncomingMessage, open: Open, requestId: string): Promise<void> => {
  const { state, recorder, gate, quota } = parts
  const sent = await readBody(req)
  const start = performance.now()
  const key = keyOf(req)
  const { path, query } = splitTarget(req.url ?? '/')
  let faults = NO_FAULTS
  let answer: Answer
  const record = (model: string): void => {
    const { method = '', url = '', headers, rawHeaders } = req
    recorder.request({ requestId, method, path: url, headers, rawHeaders, body: sent, at: start, model }, path)
  }
  try {
    const { raw, parsed } = decoded(req, sent)
    record(parsed.model)
    const named = splitModel(parsed.model)
    const header = req.headers['x-sim-fault']
    const asked = header === undefined ? NO_FAULTS : parseFaults(String(header))
    const wanted = mergeFaults(parts.defaults, asked, named.faults)
    faults = wanted.size === 0 ? NO_FAULTS : gate.pass(named.model, wanted)
    if (faults.size > 0) {
      recorder.faultsApplied(faults.keys())
      if (!(await beforeAnswer(open, faults))) return
    }
    checkKey(key, parts.apiKey)
    const suffix = faults.has('split_utf8') ? SPLIT_UTF8_TEXT : ''
    const call: Call = {
      state,
      method: req.method ?? 'GET',
      path,
      query,
      headers: req.headers,
      raw,
      body: parsed.body,
      model: named.model,
      suffix,
    }
    answer = (faults.size > 0 ? substituteFor(faults, key) : undefined) ?? operation(parts, call, parsed, key, start)
  } catch (error) {
    answer = errorAnswer(asApiError(error))
  }
  await deliver(open, answer, faults, {
    'x-request-id': requestId,
    'openai-version': '2020-10-01',
    'openai-organization': 'heddle-sim',
    'openai-processing-ms': String(Math.round(performance.now() - start)),
    ...quota.headers(key, start),
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
