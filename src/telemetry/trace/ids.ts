import { randomFillSync } from 'node:crypto'

/** Random bytes are fetched in blocks: a call of the generator costs more than what one id needs. */
const BLOCK = 8192
const TRACE_BYTES = 16
const SPAN_BYTES = 8
const block = Buffer.allocUnsafeSlow(BLOCK)
let at = BLOCK

function hex(bytes: number): string {
  if (at + bytes > BLOCK) {
    randomFillSync(block)
    at = 0
  }
  at += bytes
  return block.toString('hex', at - bytes, at)
}

/** 16 hex characters, never all zero (W3C Trace Context 2.2.2.4). */
export function newSpanId(): string {
  const id = hex(SPAN_BYTES)
  return id === '0000000000000000' ? newSpanId() : id
}

/** 32 hex characters, never all zero. All of it is random: the low bits decide about sampling. */
export function newTraceId(): string {
  const id = hex(TRACE_BYTES)
  return id === '00000000000000000000000000000000' ? newTraceId() : id
}
