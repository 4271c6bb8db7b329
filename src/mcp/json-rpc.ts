import { isUtf8 } from 'node:buffer'

/** JSON-RPC 2.0 as the Model Context Protocol has it: github.com/modelcontextprotocol/modelcontextprotocol, schema/2026-07-28 and before. */

export type JsonObject = Readonly<Record<string, unknown>>
/** `null` is none: the schema of MCP wants a string or a number. */
export type RpcId = string | number

export interface RpcError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

export interface RpcRequest {
  readonly kind: 'request'
  readonly id: RpcId
  readonly method: string
  readonly params: JsonObject
}
export interface RpcNotification {
  readonly kind: 'notification'
  readonly method: string
  readonly params: JsonObject
}
export interface RpcResponse {
  readonly kind: 'response'
  /** null = of a message that could not be read. */
  readonly id: RpcId | null
  /** One of both is there. */
  readonly result: JsonObject | null
  readonly error: RpcError | null
}
export type RpcMessage = RpcRequest | RpcNotification | RpcResponse

/** -32000..-32019 are left to implementations, -32020..-32099 are the specification's (2026-07-28, basic, error codes). */
export const RPC = {
  parse: -32700,
  invalid: -32600,
  method: -32601,
  params: -32602,
  internal: -32603,
  refused: -32000,
  /** As the official SDKs have it. */
  noSession: -32001,
  unavailable: -32010,
  timeout: -32011,
  limited: -32012,
  denied: -32013,
  headerMismatch: -32020,
  version: -32022,
} as const

/** A message that is none, or a request that fails by itself. */
export class RpcFault extends Error {
  readonly code: number
  readonly id: RpcId | null
  readonly data: JsonObject | undefined
  /** Of the HTTP answer, where nothing else is answered with it. */
  readonly status: number

  constructor(
    code: number,
    message: string,
    options: { readonly id?: RpcId | null; readonly data?: JsonObject; readonly status?: number } = {},
  ) {
    super(message)
    this.name = 'RpcFault'
    this.code = code
    this.id = options.id ?? null
    this.data = options.data
    this.status = options.status ?? 400
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const textIn = (object: JsonObject, name: string): string | null => {
  const value = object[name]
  return typeof value === 'string' ? value : null
}

interface RawJson {
  readonly rawJSON: string
}
const exact = JSON as typeof JSON & {
  rawJSON(text: string): RawJson
  parse(text: string, reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown
}

/** Where a number may stand that a double cannot hold, or would be written differently. Texts that look alike cost time only. */
const MAYBE_LONG = /[\d.]{16}|[eE][+-]?\d|-0|\.\d*0\b/

const keepSource = (_: string, value: unknown, { source }: { readonly source?: string }): unknown =>
  typeof value === 'number' && source !== undefined && String(value) !== source ? exact.rawJSON(source) : value

/**
 * JSON whose numbers JSON.stringify() writes as they came: ids of 64 bits are common in what tools take and give. Those
 * that a double cannot tell are no numbers to look at. Throws SyntaxError.
 */
export const parseExact = (text: string): unknown =>
  MAYBE_LONG.test(text) ? exact.parse(text, keepSource) : (JSON.parse(text) as unknown)

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = new Set([0x5b, 0x7b])
const CLOSE = new Set([0x5d, 0x7d])

/** Whether brackets are nested deeper than max. Looks at the text alone, so that nothing deep is ever built. */
export function isDeeper(body: Buffer, max: number): boolean {
  let depth = 0
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!
    if (byte === QUOTE) {
      i = endOfString(body, i + 1)
      if (i < 0) return false
    } else if (byte < 0x5b) continue
    else if (OPEN.has(byte)) {
      if (++depth > max) return true
    } else if (CLOSE.has(byte)) depth--
  }
  return false
}

/** Index of the closing quote; -1 = there is none. */
function endOfString(body: Buffer, from: number): number {
  let at = from
  for (;;) {
    const end = body.indexOf(QUOTE, at)
    if (end < 0) return -1
    let slashes = 0
    while (end - 1 - slashes >= from && body[end - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
    at = end + 1
  }
}

const MAX_ID = 256
const MAX_METHOD = 128

const isId = (value: unknown): value is RpcId =>
  (typeof value === 'string' && value.length <= MAX_ID) || (typeof value === 'number' && Number.isSafeInteger(value))

/** The id that an answer to something which is no message may name. */
const idOf = (value: unknown): RpcId | null => (isObject(value) && isId(value['id']) ? value['id'] : null)

function responseOf(value: JsonObject): RpcResponse | null {
  const { id, result, error } = value
  if (id !== null && !isId(id)) return null
  if (isObject(result) && error === undefined) return { kind: 'response', id, result, error: null }
  if (!isObject(error) || result !== undefined) return null
  const { code, message, data } = error
  if (typeof code !== 'number' || typeof message !== 'string') return null
  return { kind: 'response', id, result: null, error: data === undefined ? { code, message } : { code, message, data } }
}

/** One message out of parsed JSON; null = it is none. */
export function messageOf(value: unknown): RpcMessage | null {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return null
  const { id, method, params = {} } = value
  if (method === undefined) return responseOf(value)
  if (typeof method !== 'string' || method === '' || method.length > MAX_METHOD || !isObject(params)) return null
  if ('result' in value || 'error' in value) return null
  if (id === undefined) return { kind: 'notification', method, params }
  return isId(id) ? { kind: 'request', id, method, params } : null
}

export interface ReadLimits {
  /** Bytes of one message; a batch may hold several. */
  readonly message: number
  readonly depth: number
  /** Messages in a batch; 0 = the revision has none. */
  readonly batch: number
}

export interface Parcel {
  readonly messages: readonly RpcMessage[]
  readonly batch: boolean
}

/** What a client has posted. Throws RpcFault. */
export function readParcel(body: Buffer, limits: ReadLimits): Parcel {
  if (body.length > limits.message)
    throw new RpcFault(RPC.invalid, `The message is larger than ${limits.message} bytes.`, { status: 413 })
  if (!isUtf8(body)) throw new RpcFault(RPC.parse, 'The message is not valid UTF-8.')
  if (isDeeper(body, limits.depth))
    throw new RpcFault(RPC.invalid, `The message is nested deeper than ${limits.depth}.`)
  let value: unknown
  try {
    value = parseExact(body.toString())
  } catch {
    throw new RpcFault(RPC.parse, 'The message is not valid JSON.')
  }
  if (!Array.isArray(value)) {
    const message = messageOf(value)
    if (message === null) throw new RpcFault(RPC.invalid, 'This is no JSON-RPC 2.0 message.', { id: idOf(value) })
    return { messages: [message], batch: false }
  }
  if (limits.batch === 0) throw new RpcFault(RPC.invalid, 'Batches are not part of this revision of the protocol.')
  if (value.length === 0) throw new RpcFault(RPC.invalid, 'The batch is empty.')
  if (value.length > limits.batch)
    throw new RpcFault(RPC.invalid, `The batch holds more than ${limits.batch} messages.`)
  const messages = value.map(messageOf)
  const bad = messages.indexOf(null)
  if (bad >= 0) throw new RpcFault(RPC.invalid, `Message ${bad} of the batch is no JSON-RPC 2.0 message.`)
  return { messages: messages as RpcMessage[], batch: true }
}

export const resultText = (id: RpcId, result: JsonObject): string => JSON.stringify({ jsonrpc: '2.0', id, result })

export const errorText = (id: RpcId | null, error: RpcError): string => JSON.stringify({ jsonrpc: '2.0', id, error })

export const requestText = (id: RpcId, method: string, params: JsonObject): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params })

export const notificationText = (method: string, params: JsonObject): string =>
  JSON.stringify({ jsonrpc: '2.0', method, params })
