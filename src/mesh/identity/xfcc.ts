/** What of one element of `x-forwarded-client-cert` is read here; each may stand several times, or hold nothing. */
export interface XfccElement {
  /** URIs of the certificate of the proxy that wrote it. */
  readonly by: readonly string[]
  readonly uri: readonly string[]
  readonly dns: readonly string[]
}

type Field = keyof XfccElement

const FIELDS: ReadonlyMap<string, Field> = new Map([
  ['by', 'by'],
  ['uri', 'uri'],
  ['dns', 'dns'],
])
/** Keys are words (`By`, `Hash`, `Cert`, `Chain`, `Subject`, `URI`, `DNS`); new ones may come, other forms may not. */
const KEY = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/

/** Longer lists are not read: three chains of certificates fit. */
const MAX_LENGTH = 128 * 1024
/** Several lines of the header come joined with this: no value can hold it. */
const LINE = '\n'

const QUOTE = 0x22
const COMMA = 0x2c
const SEMICOLON = 0x3b
const BACKSLASH = 0x5c
const SPACE = 0x20
const TAB = 0x09

/** Place of the quote that closes what began before `from`; -1 = none does. */
const closingQuote = (text: string, from: number): number => {
  let quote = text.indexOf('"', from)
  while (quote >= 0) {
    let escapes = 0
    while (quote - 1 - escapes >= from && text.charCodeAt(quote - 1 - escapes) === BACKSLASH) escapes += 1
    if (escapes % 2 === 0) return quote
    quote = text.indexOf('"', quote + 1)
  }
  return -1
}

/** Past a value without quotes; -1 = it holds a quote, of which readers could make different things. */
const bareEnd = (text: string, from: number): number => {
  let at = from
  for (; at < text.length; at++) {
    const c = text.charCodeAt(at)
    if (c === COMMA || c === SEMICOLON) return at
    if (c === QUOTE) return -1
  }
  return at
}

const skipBlanks = (text: string, from: number): number => {
  let at = from
  while (text.charCodeAt(at) === SPACE || text.charCodeAt(at) === TAB) at++
  return at
}

/** Value between `from` and `end`, with what quotes and escapes mean. */
const valueOf = (text: string, from: number, end: number): string =>
  text.charCodeAt(from) === QUOTE
    ? text.slice(from + 1, end - 1).replaceAll(/\\(.)/gs, '$1')
    : text.slice(from, end).trimEnd()

type Found = { [K in Field]: string[] }

const nothing = (): Found => ({ by: [], uri: [], dns: [] })

const lastOfLine = (text: string): XfccElement | null => {
  let found = nothing()
  let at = 0
  for (;;) {
    const equals = text.indexOf('=', at)
    if (equals < 0) return null
    const key = text.slice(skipBlanks(text, at), equals)
    if (!KEY.test(key)) return null
    const from = equals + 1
    let end: number
    if (text.charCodeAt(from) === QUOTE) {
      end = closingQuote(text, from + 1) + 1
      if (end === 0) return null
    } else {
      end = bareEnd(text, from)
      if (end < 0) return null
    }
    const field = FIELDS.get(key.toLowerCase())
    if (field !== undefined) found[field].push(valueOf(text, from, end))
    at = skipBlanks(text, end)
    if (at === text.length) return found
    const separator = text.charCodeAt(at)
    if (separator === COMMA) found = nothing()
    else if (separator !== SEMICOLON) return null
    at += 1
  }
}

/**
 * The last element of `x-forwarded-client-cert` (Envoy, HTTP connection manager headers): elements divided by commas, of
 * `Key=value` divided by semicolons; a value may stand in double quotes, in which a backslash takes the next character as
 * it is. null unless the whole text has this form: what a caller has put in front of the proxy's own element must not be
 * able to shift where that one begins. Each line of the header must be whole in itself.
 */
export const lastElement = (text: string): XfccElement | null => {
  if (text.length > MAX_LENGTH) return null
  if (!text.includes(LINE)) return lastOfLine(text)
  let last: XfccElement | null = null
  for (const line of text.split(LINE)) {
    last = lastOfLine(line)
    if (last === null) return null
  }
  return last
}
