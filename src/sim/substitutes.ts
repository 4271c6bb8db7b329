/** Answers that a fault puts in the place of the real one. */
import { gzipSync } from 'node:zlib'
import type { Answer } from './answer.ts'
import { ApiError, usualError } from './errors.ts'
import type { FaultSet, RateLimitHint } from './faults.ts'
import { faultNumber, RATE_LIMIT_HINTS } from './faults.ts'
import type { Json, JsonObject } from './json.ts'
import type { Arrived, SimWire } from './wire.ts'
import { HINT_SECONDS } from './wire.ts'

const statusAnswer = (status: number, asked: Asked): Answer => {
  const usual = usualError(status)
  if (status === 204 || status === 304)
    return { kind: 'bytes', status, contentType: 'application/json', bytes: Buffer.alloc(0) }
  return tell(asked, new ApiError(status, usual.message, usual))
}

const OVERLOADS: Readonly<Record<string, Json>> = {
  openai: {
    error: {
      message: 'The server is currently overloaded with other requests. Sorry about that!',
      type: 'server_error',
      param: null,
      code: 'server_overloaded',
    },
  },
  azure: {
    error: {
      code: 'ServerBusy',
      message: 'The service is temporarily unable to process your request. Please try again later.',
    },
  },
  anthropic: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' }, request_id: 'req_sim' },
  google: { error: { code: 503, message: 'The model is overloaded. Please try again later.', status: 'UNAVAILABLE' } },
}

const overloaded = (argument: string, asked: Asked): Answer => {
  const [, given, provider = ''] = /^(\d*)-?([a-z]*)$/.exec(argument) ?? []
  const status = Number(given || '200')
  if (asked.wire.name === 'openai') return { kind: 'json', status, body: OVERLOADS[provider || 'openai'] ?? {} }
  if (provider !== '' && OVERLOAD_NAMES[asked.wire.name] !== provider) throw senseless('overloaded_body', asked.wire)
  return { ...tell(asked, asked.wire.refusals.overloaded), status }
}

/** Of wires whose vendor the fault can name. */
const OVERLOAD_NAMES: Readonly<Record<string, string>> = { anthropic: 'anthropic', gemini: 'google' }

const rateLimited = (hint: RateLimitHint, asked: Asked): Answer => {
  // Google's own endpoint for OpenAI's dialect answers like this.
  if (asked.wire.name === 'openai' && hint === 'google') return { kind: 'json', status: 429, body: GOOGLE_LIMIT }
  const headers = asked.wire.refusals.hints[hint]
  if (headers === undefined) throw senseless(`rate_limit=${hint}`, asked.wire)
  const message = 'Rate limit reached for requests. Please try again later.'
  return tell(asked, new ApiError(429, message, { headers: headers() }))
}

const GOOGLE_LIMIT: JsonObject = {
  error: {
    code: 429,
    message: 'Resource has been exhausted (e.g. check quota).',
    status: 'RESOURCE_EXHAUSTED',
    details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${HINT_SECONDS}s` }],
  },
}

const LOGIN_PAGE =
  '<!doctype html><html><head><title>Sign in</title></head><body><form action="/login"><input name="user"></form></body></html>'

const bombs = new Map<number, Buffer>()

/** JSON that is valid after decompression, so that only its size is wrong with it. */
const bomb = (bytes: number): Buffer => {
  const known = bombs.get(bytes)
  if (known !== undefined) return known
  const made = gzipSync(Buffer.concat([Buffer.from('{"pad":"'), Buffer.alloc(bytes, 0x61), Buffer.from('"}')]), {
    level: 9,
  })
  bombs.set(bytes, made)
  return made
}

const quoted = (key: string): string => (key === '' ? 'sk-sim-0123456789abcdefghijklmnopqrstuvwxyz' : key)

const page = (contentType: string, text: string): Answer => ({ kind: 'bytes', contentType, bytes: Buffer.from(text) })

/** What a substitute must know of the request. */
export interface Asked {
  readonly wire: SimWire
  readonly requestId: string
  /** The API key that came with it: some faults quote it, so that leaks can be tested. */
  readonly key: string
  readonly model: string
  readonly arrived: Arrived
}

const tell = (asked: Asked, error: ApiError): Answer => asked.wire.error(error, asked.requestId)

/** A fault that this vendor's API cannot have. */
export const senseless = (fault: string, wire: SimWire): ApiError =>
  new ApiError(400, `The fault '${fault}' makes no sense on the ${wire.name} wire.`, { code: 'sim_bad_fault' })

const vendorRefusal = (faults: FaultSet, asked: Asked): Answer | undefined => {
  const { exhausted, tooLong, filtered } = asked.wire.refusals
  const told = { insufficient_quota: exhausted, context_length: tooLong, content_filter: filtered }
  for (const [name, answer] of Object.entries(told)) {
    if (!faults.has(name)) continue
    if (answer === null) throw senseless(name, asked.wire)
    return answer instanceof ApiError ? tell(asked, answer) : answer(asked.model, asked.arrived)
  }
  return undefined
}

/** @throws ApiError 400 for a fault that makes no sense on the wire */
export const substituteFor = (faults: FaultSet, asked: Asked): Answer | undefined => {
  const status = faultNumber(faults, 'status')
  if (status !== undefined) return statusAnswer(status, asked)
  const overload = faults.get('overloaded_body')
  if (overload !== undefined) return overloaded(overload, asked)
  const hint = RATE_LIMIT_HINTS.find((known) => known === faults.get('rate_limit'))
  if (hint !== undefined) return rateLimited(hint, asked)
  if (faults.has('auth_401')) return tell(asked, new ApiError(401, `Incorrect API key provided: ${quoted(asked.key)}.`))
  if (faults.has('auth_403'))
    return tell(asked, new ApiError(403, `The key ${quoted(asked.key)} has no access to this model.`))
  return vendorRefusal(faults, asked) ?? garbage(faults)
}

const garbage = (faults: FaultSet): Answer | undefined => {
  if (faults.has('html')) return page('text/html; charset=utf-8', LOGIN_PAGE)
  if (faults.has('null_body')) return page('application/json', 'null')
  if (faults.has('array_body')) return page('application/json', '[]')
  if (faults.has('empty_body')) return page('application/json', '')
  if (faults.has('redirect')) {
    const headers = { location: 'http://redirected.invalid/v1/chat/completions' }
    return { kind: 'bytes', status: 302, headers, contentType: 'text/plain', bytes: Buffer.from('Found') }
  }
  const size = faultNumber(faults, 'gzip_bomb')
  if (size !== undefined) {
    return {
      kind: 'bytes',
      headers: { 'content-encoding': 'gzip' },
      contentType: 'application/json',
      bytes: bomb(size),
    }
  }
  return undefined
}
