import { STATIC_TABLE } from './hpack-table.ts'

/** First index of each name, and the index of each whole field, of the static table. */
const NAMES = new Map<string, number>()
const FIELDS = new Map<string, number>()
for (const [i, [name, value]] of STATIC_TABLE.entries()) {
  if (!NAMES.has(name)) NAMES.set(name, i + 1)
  if (value !== '') FIELDS.set(`${name}\0${value}`, i + 1)
}

function pushInteger(out: number[], value: number, prefix: number, flags: number): void {
  const mask = (1 << prefix) - 1
  if (value < mask) {
    out.push(flags | value)
    return
  }
  out.push(flags | mask)
  let rest = value - mask
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  out.push(rest)
}

function pushString(out: number[], text: string): void {
  pushInteger(out, text.length, 7, 0)
  for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i) & 0xff)
}

/**
 * A block of headers (RFC 7541), flat list of name and value; names in lower case, one character a byte. Uses the static table
 * and literals that no table keeps, so a block fits any connection and can be made once for all of them.
 */
export function encodeHeaders(headers: readonly string[]): Buffer {
  const out: number[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    const value = headers[i + 1]!
    const whole = FIELDS.get(`${name}\0${value}`)
    if (whole !== undefined) {
      pushInteger(out, whole, 7, 0x80)
      continue
    }
    const index = NAMES.get(name) ?? 0
    pushInteger(out, index, 4, 0)
    if (index === 0) pushString(out, name)
    pushString(out, value)
  }
  return Buffer.from(out)
}
