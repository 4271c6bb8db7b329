/** Answers that a fault puts in the place of the real one. */
import { gzipSync } from 'node:zlib'
import type { Answer, JsonAnswer } from './answer.ts'
import { ApiError, usualError } from './errors.ts'
import type { FaultSet } from './faults.ts'
import { faultNumber } from './faults.ts'
import type { Json, JsonObject } from './json.ts'

export const errorAnswer = (error: ApiError): JsonAnswer => ({
  kind: 'json',
  status: error.status,
  headers: error.headers,
  body: error.envelope(),
})

const statusAnswer = (status: number): Answer => {
  const usual = usualError(status)
  if (status === 204 || status === 304)
    return { kind: 'bytes', status, contentType: 'application/json', bytes: Buffer.alloc(0) }
  return errorAnswer(new ApiError(status, usual.message, usual))
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

const overloaded = (argument: string): Answer => {
  const [, status, provider] = /^(\d*)-?([a-z]*)$/.exec(argument) ?? []
  return { kind: 'json', status: Number(status || '200'), body: OVERLOADS[provider || 'openai'] ?? {} }
}

const WAIT_SECONDS = 2
const LONG_SECONDS = 86_400

const rateLimited = (hint: string): Answer => {
  const message = 'Rate limit reached for requests. Please try again later.'
  const limited = (headers: Record<string, string>): Answer => errorAnswer(new ApiError(429, message, { headers }))
  switch (hint) {
    case 'date':
      return limited({
        'retry-after': new Date(Math.ceil(Date.now() / 1000) * 1000 + WAIT_SECONDS * 1000).toUTCString(),
      })
    case 'ms':
      return limited({ 'retry-after-ms': String(WAIT_SECONDS * 1000) })
    case 'go':
      return limited({
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': `${WAIT_SECONDS}s`,
      })
    case 'google':
      return {
        kind: 'json',
        status: 429,
        body: {
          error: {
            code: 429,
            message: 'Resource has been exhausted (e.g. check quota).',
            status: 'RESOURCE_EXHAUSTED',
            details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${WAIT_SECONDS}s` }],
          },
        },
      }
    case 'none':
      return limited({})
    case 'long':
      return limited({ 'retry-after': String(LONG_SECONDS) })
    default:
      return limited({ 'retry-after': String(WAIT_SECONDS) })
  }
}

const contentFiltered = (): Answer => {
  const filter: JsonObject = {
    hate: { filtered: false, severity: 'safe' },
    violence: { filtered: true, severity: 'high' },
  }
  const message =
    'The response was filtered due to the prompt triggering the content management policy. Please modify your prompt and retry.'
  return {
    kind: 'json',
    status: 400,
    body: {
      error: {
        message,
        type: 'invalid_request_error',
        param: 'prompt',
        code: 'content_filter',
        status: 400,
        innererror: { code: 'ResponsibleAIPolicyViolation', content_filter_result: filter },
      },
    },
  }
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

/** @param key the API key that came with the request: some faults quote it, so that leaks can be tested. */
export const substituteFor = (faults: FaultSet, key: string): Answer | undefined => {
  const status = faultNumber(faults, 'status')
  if (status !== undefined) return statusAnswer(status)
  const overload = faults.get('overloaded_body')
  if (overload !== undefined) return overloaded(overload)
  const hint = faults.get('rate_limit')
  if (hint !== undefined) return rateLimited(hint)
  if (faults.has('insufficient_quota')) {
    const message = 'You exceeded your current quota, please check your plan and billing details.'
    return errorAnswer(new ApiError(429, message, { type: 'insufficient_quota', code: 'insufficient_quota' }))
  }
  if (faults.has('auth_401')) return errorAnswer(new ApiError(401, `Incorrect API key provided: ${quoted(key)}.`))
  if (faults.has('auth_403'))
    return errorAnswer(new ApiError(403, `The key ${quoted(key)} has no access to this model.`))
  if (faults.has('context_length')) {
    const message =
      "This model's maximum context length is 128000 tokens. However, your messages resulted in more. Please reduce the length of the messages."
    return errorAnswer(new ApiError(400, message, { param: 'messages', code: 'context_length_exceeded' }))
  }
  if (faults.has('content_filter')) return contentFiltered()
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
