import type { JsonObject } from '@bufbuild/protobuf'
import type { HeaderMutation, ImmediateResponse, ProcessingResponse } from '../protocol/grpc/gen/ext_proc_pb.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { retryAfterMs } from '../protocol/retry-after.ts'
import { DESTINATION, DROPPED_REASON, maySet } from './epp-headers.ts'

/** Endpoints of one answer that are tried; more are not. */
const MAX_ENDPOINTS = 8
/** Bodies that a picker sends back may be larger than what it got, but not by more than this. */
const MAX_BODY = 256 * 1024 * 1024
const MAX_TEXT = 300

/** What a picker has said so far. */
export class EppAnswer {
  addresses: readonly string[] = []
  /** Flat. */
  readonly headers: string[] = []
  #chunks: Uint8Array[] = []
  #bytes = 0
  #cleared = false
  #mutated = false

  /** True = that was all. Throws GatewayError when it answers in the backend's place. */
  take(response: ProcessingResponse): boolean {
    this.#named(destinationOf(response.dynamicMetadata))
    const { case: kind, value } = response.response
    switch (kind) {
      case 'immediateResponse':
        throw refusalOf(value)
      case 'requestHeaders':
        this.#mutate(value.response?.headerMutation)
        return this.#body(value.response?.bodyMutation, false)
      case 'requestBody':
        this.#mutate(value.response?.headerMutation)
        // A body that is not mentioned stays as it is.
        return this.#body(value.response?.bodyMutation, true)
      case 'requestTrailers':
        this.#mutate(value.headerMutation)
        return this.addresses.length > 0
      default:
        return false
    }
  }

  #named(list: string): void {
    if (list === '' || this.addresses.length > 0) return
    const all = list.split(',').map((address) => address.trim())
    this.addresses = all.filter((address) => /^\S{1,255}:\d{1,5}$/.test(address)).slice(0, MAX_ENDPOINTS)
  }

  #mutate(mutation: HeaderMutation | undefined): void {
    for (const { header } of mutation?.setHeaders ?? []) {
      if (header === undefined) continue
      const name = header.key.toLowerCase()
      const value = header.rawValue.length > 0 ? Buffer.from(header.rawValue).toString('latin1') : header.value
      if (name === DESTINATION) this.#named(value)
      else if (maySet(name)) this.headers.push(name, value)
    }
  }

  #body(mutation: NonNullable<HeadersBody>['bodyMutation'], last: boolean): boolean {
    const { case: kind, value } = mutation?.mutation ?? { case: undefined, value: undefined }
    if (kind === undefined) return last
    this.#mutated = true
    if (kind === 'clearBody') {
      this.#cleared = value
      return true
    }
    const bytes = kind === 'body' ? value : value.body
    this.#bytes += bytes.length
    if (this.#bytes > MAX_BODY)
      throw new GatewayError('upstream_invalid_response', 'The endpoint picker sent a body that is too large.')
    this.#chunks.push(bytes)
    return kind === 'body' || value.endOfStream
  }

  /** Null = as it was. */
  bodyInPlaceOf(sent: Buffer | null): Buffer | null {
    if (!this.#mutated || this.#cleared || this.#bytes === 0) return null
    const body = Buffer.concat(this.#chunks)
    return sent !== null && body.equals(sent) ? null : body
  }
}

type HeadersBody = Extract<ProcessingResponse['response'], { case: 'requestBody' }>['value']['response']

function destinationOf(metadata: JsonObject | undefined): string {
  const space = metadata?.['envoy.lb']
  if (typeof space !== 'object' || space === null || Array.isArray(space)) return ''
  const list = space[DESTINATION]
  return typeof list === 'string' ? list : ''
}

/** 429: it sheds load. 503: nobody can serve it. What it says goes to the caller, in one line. */
function refusalOf({ status, headers, body, details }: ImmediateResponse): GatewayError {
  const code = status?.code ?? 500
  const text = oneLine(Buffer.from(body).toString('utf8') || details)
  const set = new Map(
    (headers?.setHeaders ?? []).map(({ header }) => [
      header?.key.toLowerCase() ?? '',
      header === undefined || header.rawValue.length === 0
        ? (header?.value ?? '')
        : Buffer.from(header.rawValue).toString('latin1'),
    ]),
  )
  const reason = DROPPED_REASON.map((name) => set.get(name)).find((value) => value !== undefined && value !== '')
  const said = [text, reason === undefined ? '' : oneLine(reason)].filter((part) => part !== '').join(' - ')
  const wait = retryAfterMs(Object.fromEntries(set), null, systemClock.now())
  const options = {
    detail: `endpoint picker answered ${code}${said === '' ? '' : `: ${said}`}`,
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
  }
  const more = said === '' ? '' : `: ${said}`
  if (code === 429)
    return new GatewayError('upstream_rate_limited', `The model has no room for this request${more}`, options)
  if (code >= 500)
    return new GatewayError('upstream_unavailable', `No endpoint of the model can take this request${more}`, options)
  return new GatewayError('invalid_request', `The endpoint picker of the model refuses this request${more}`, options)
}

const oneLine = (text: string): string =>
  text
    .replace(/[\u0000-\u001f\u007f\s]+/g, ' ')
    .trim()
    .slice(0, MAX_TEXT)
