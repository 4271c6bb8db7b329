import type { Codec } from '../protocol/grpc/calls.ts'
import type { Decision } from '../pipeline/decision.ts'
import { Wire, WireReader, WireWriter } from '../protocol/grpc/wire.ts'
import { addressOf } from './received.ts'
import { writeOptions, writeStruct, writeTexts } from './wire-values.ts'

/** What is read of an envoy.service.auth.v3.CheckRequest. */
export interface CheckQuestion {
  method: string
  path: string
  /** Flat, without pseudo-headers. */
  raw: string[]
  /** A view of the message. */
  body: Buffer
  /** Whom the client's certificate names. */
  principal: string
  /** Address of the client. */
  peer: string
}

export type CheckAnswer =
  | { readonly allowed: Decision }
  | { readonly status: number; readonly headers: readonly string[]; readonly body: string }

/** google.rpc.Code of a refusal; which one does not matter to proxies, as the HTTP answer is with it. */
const PERMISSION_DENIED = 7
const EMPTY = Buffer.alloc(0)
/** Beyond so many headers a scan for each would be quadratic. */
const SCANNED = 64

interface Reading extends CheckQuestion {
  /** There is a request: its path is what it says. */
  told: boolean
  /** Its headers come as a list, which takes the place of the map. */
  list: string[] | null
  text: Buffer
  index: Map<string, number> | null
}

/** Reads the fields that are used, by their numbers in attribute_context.proto and external_auth.proto. Throws WireFault. */
export function readCheck(bytes: Buffer): CheckQuestion {
  const q: Reading = {
    method: '',
    path: '/',
    raw: [],
    body: EMPTY,
    principal: '',
    peer: '',
    told: false,
    list: null,
    text: EMPTY,
    index: null,
  }
  const r = new WireReader(bytes)
  while (r.next())
    if (r.no === 1 && r.wire === Wire.BYTES) readInside(r, q, readAttributes)
    else r.skip()
  if (q.body.length === 0) q.body = q.text
  if (q.list !== null) q.raw = q.list
  return q
}

function readInside(r: WireReader, q: Reading, read: (r: WireReader, q: Reading) => void): void {
  const outer = r.enter()
  read(r, q)
  r.leave(outer)
}

function readAttributes(r: WireReader, q: Reading): void {
  while (r.next())
    if (r.wire !== Wire.BYTES) r.skip()
    else if (r.no === 1) readInside(r, q, readSource)
    else if (r.no === 4) readInside(r, q, readRequest)
    else r.skip()
}

function readSource(r: WireReader, q: Reading): void {
  while (r.next())
    if (r.wire !== Wire.BYTES) r.skip()
    else if (r.no === 1) readInside(r, q, readAddress)
    else if (r.no === 4) q.principal = r.text()
    else r.skip()
}

function readAddress(r: WireReader, q: Reading): void {
  while (r.next())
    if (r.wire !== Wire.BYTES) r.skip()
    else if (r.no === 1) readInside(r, q, readSocketAddress)
    else {
      // A pipe: of two in a oneof the last one counts.
      if (r.no === 2) q.peer = ''
      r.skip()
    }
}

function readSocketAddress(r: WireReader, q: Reading): void {
  while (r.next())
    if (r.no === 2 && r.wire === Wire.BYTES) q.peer = addressOf(`${r.text()}:0`)
    else r.skip()
}

function readRequest(r: WireReader, q: Reading): void {
  while (r.next())
    if (r.no === 2 && r.wire === Wire.BYTES) {
      if (!q.told) q.path = ''
      q.told = true
      readInside(r, q, readHttp)
    } else r.skip()
}

function readHttp(r: WireReader, q: Reading): void {
  while (r.next()) {
    if (r.wire !== Wire.BYTES) {
      r.skip()
      continue
    }
    switch (r.no) {
      case 2:
        q.method = r.text()
        break
      case 3:
        readEntry(r, q)
        break
      case 4:
        q.path = r.text()
        break
      case 11:
        q.text = r.textBytes()
        break
      case 12:
        q.body = r.bytes()
        break
      case 13:
        q.list ??= []
        readInside(r, q, readList)
        break
      default:
        r.skip()
    }
  }
}

/** An entry of the map of headers: of two with one key the later counts. */
function readEntry(r: WireReader, q: Reading): void {
  const outer = r.enter()
  let key = ''
  let value = ''
  while (r.next())
    if (r.wire !== Wire.BYTES) r.skip()
    else if (r.no === 1) key = r.text()
    else if (r.no === 2) value = r.text()
    else r.skip()
  r.leave(outer)
  if (key.charCodeAt(0) === 0x3a) return
  const { raw } = q
  const at = raw.length > SCANNED * 2 ? indexed(q, key) : scanned(raw, key)
  if (at >= 0) raw[at + 1] = value
  else raw.push(key, value)
}

function scanned(raw: readonly string[], key: string): number {
  for (let i = 0; i < raw.length; i += 2) if (raw[i] === key) return i
  return -1
}

function indexed(q: Reading, key: string): number {
  if (q.index === null) {
    q.index = new Map()
    for (let i = 0; i < q.raw.length; i += 2) q.index.set(q.raw[i]!, i)
  }
  const at = q.index.get(key)
  if (at === undefined) q.index.set(key, q.raw.length)
  return at ?? -1
}

function readList(r: WireReader, q: Reading): void {
  while (r.next()) {
    if (r.no !== 1 || r.wire !== Wire.BYTES) {
      r.skip()
      continue
    }
    const outer = r.enter()
    let key = ''
    let value = ''
    let raw: Buffer = EMPTY
    while (r.next())
      if (r.wire !== Wire.BYTES) r.skip()
      else if (r.no === 1) key = r.text()
      else if (r.no === 2) value = r.text()
      else if (r.no === 3) raw = r.bytes()
      else r.skip()
    r.leave(outer)
    if (key.charCodeAt(0) !== 0x3a) q.list!.push(key, raw.length > 0 ? raw.toString('latin1') : value)
  }
}

const writer = new WireWriter()

/** A CheckResponse, with the prefix of its message. Valid until the next one. */
export function frameCheck(answer: CheckAnswer): Buffer {
  const out = writer
  out.begin()
  if ('allowed' in answer) {
    const { request, remove, response, metadata } = answer.allowed
    writeStruct(out, 4, metadata)
    const ok = out.mark()
    writeOptions(out, 6, response, 'text')
    writeTexts(out, 5, remove)
    writeOptions(out, 2, request, 'text')
    out.close(3, ok)
    out.close(1, out.mark())
  } else {
    const denied = out.mark()
    out.text(3, answer.body)
    writeOptions(out, 2, answer.headers, 'text')
    const status = out.mark()
    out.number(1, answer.status)
    out.close(1, status)
    out.close(2, denied)
    const code = out.mark()
    out.number(1, PERMISSION_DENIED)
    out.close(1, code)
  }
  return out.frame()
}

export const CHECK_CODEC: Codec<CheckQuestion, CheckAnswer> = { read: readCheck, frame: frameCheck }
