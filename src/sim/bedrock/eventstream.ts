/**
 * Frames of `application/vnd.amazon.eventstream`: length, length of the headers, CRC-32 of these two, headers, payload,
 * CRC-32 of all before (Smithy specification, "Amazon Event Stream").
 */
import { crc32 } from 'node:zlib'
import type { StreamEvent } from '../answer.ts'
import type { Framing } from '../framing.ts'

/** A header whose value is a string. */
const STRING = 7

const header = (name: string, value: string): Buffer => {
  const [key, text] = [Buffer.from(name), Buffer.from(value)]
  const out = Buffer.alloc(key.length + text.length + 4)
  out[0] = key.length
  key.copy(out, 1)
  out[key.length + 1] = STRING
  out.writeUInt16BE(text.length, key.length + 2)
  text.copy(out, key.length + 4)
  return out
}

export const frame = (headers: readonly (readonly [string, string])[], payload: Buffer): Buffer => {
  const head = Buffer.concat(headers.map(([name, value]) => header(name, value)))
  const out = Buffer.alloc(12 + head.length + payload.length + 4)
  out.writeUInt32BE(out.length, 0)
  out.writeUInt32BE(head.length, 4)
  out.writeUInt32BE(crc32(out.subarray(0, 8)), 8)
  head.copy(out, 12)
  payload.copy(out, 12 + head.length)
  out.writeUInt32BE(crc32(out.subarray(0, out.length - 4)), out.length - 4)
  return out
}

/** Names of events that are exceptions begin with this. */
export const EXCEPTION = 'exception:'

const headersOf = (name: string): [string, string][] =>
  name.startsWith(EXCEPTION)
    ? [
        [':exception-type', name.slice(EXCEPTION.length)],
        [':content-type', 'application/json'],
        [':message-type', 'exception'],
      ]
    : [
        [':event-type', name],
        [':content-type', 'application/json'],
        [':message-type', 'event'],
      ]

const encode = (event: StreamEvent): Buffer => frame(headersOf(event.event ?? ''), Buffer.from(event.data))

const HALF_CHARACTER = Buffer.from([0xe2, 0x82])

export const EVENT_STREAM: Framing = {
  contentType: 'application/vnd.amazon.eventstream',
  eol: '\n',
  lines: false,
  comment: () => null,
  encode,
  torn: (event) => {
    const [before = '', after = ''] = event.data.split('€')
    return frame(headersOf(event.event ?? ''), Buffer.concat([Buffer.from(before), HALF_CHARACTER, Buffer.from(after)]))
  },
  truncated: (event) => {
    const whole = encode(event)
    return whole.subarray(0, whole.length >> 1)
  },
  closing: '',
}
