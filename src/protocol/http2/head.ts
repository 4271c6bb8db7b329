import { Field } from './hpack-table.ts'

/** What a field is, found out once. */
export const Kind = {
  REGULAR: 0,
  /** Upper case, no token, a value with line breaks: the message is malformed (RFC 9113 8.2.1). */
  BAD: 1,
  /** Of a connection of HTTP/1: malformed as well (8.2.2). */
  HOP: 2,
  METHOD: 3,
  PATH: 4,
  SCHEME: 5,
  AUTHORITY: 6,
  /** A pseudo-header that is none of a request's. */
  PSEUDO: 7,
  LENGTH: 8,
} as const

const HOP_BY_HOP = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
const PSEUDO: Readonly<Record<string, number>> = {
  ':method': Kind.METHOD,
  ':path': Kind.PATH,
  ':scheme': Kind.SCHEME,
  ':authority': Kind.AUTHORITY,
}
/** RFC 9110 5.6.2, lower case alone. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
const BAD_VALUE = /[\0\r\n]|^[ \t]|[ \t]$/
const LENGTH = /^\d{1,15}$/

export function fieldOf(name: string, value: string): Field {
  return new Field(name, value, kindOf(name, value))
}

function kindOf(name: string, value: string): number {
  if (name.charCodeAt(0) === 0x3a) {
    if (BAD_VALUE.test(value)) return Kind.BAD
    return Object.hasOwn(PSEUDO, name) ? PSEUDO[name]! : Kind.PSEUDO
  }
  if (!NAME.test(name) || BAD_VALUE.test(value)) return Kind.BAD
  if (HOP_BY_HOP.has(name) || (name === 'te' && value !== 'trailers')) return Kind.HOP
  if (name === 'content-length') return LENGTH.test(value) ? Kind.LENGTH : Kind.BAD
  return Kind.REGULAR
}

/** A request's head. The same object may stand for several requests whose heads are alike: nothing is kept in it. */
export interface RequestHead {
  readonly method: string
  /** '' = none: CONNECT. */
  readonly path: string
  readonly scheme: string
  /** '' = none. */
  readonly authority: string
  /** Flat: name, value; names in lower case. */
  readonly headers: readonly string[]
  /** -1 = not said. */
  readonly contentLength: number
}

/** Reads the fields of a request's head one by one. */
export class HeadBuilder {
  #pseudo: string[] = ['', '', '', '']
  #seen = 0
  #headers: string[] = []
  #contentLength = -1
  #regular = false
  /** What was wrong with them, ''= nothing so far. */
  fault = ''
  readonly #trailers: boolean

  constructor(trailers: boolean) {
    this.#trailers = trailers
  }

  add(field: Field): void {
    const { kind } = field
    if (kind === Kind.REGULAR) {
      this.#regular = true
      this.#headers.push(field.name, field.value)
    } else if (kind >= Kind.METHOD && kind <= Kind.AUTHORITY) this.#addPseudo(kind - Kind.METHOD, field.value)
    else if (kind === Kind.LENGTH) this.#addLength(field)
    else this.fault = kind === Kind.HOP ? 'a header of a connection' : 'a field that none may be'
  }

  #addPseudo(which: number, value: string): void {
    if (this.#regular || this.#trailers) this.fault = 'a pseudo-header where none may stand'
    else if (this.#seen & (1 << which)) this.fault = 'a pseudo-header twice'
    this.#seen |= 1 << which
    this.#pseudo[which] = value
  }

  #addLength({ name, value }: Field): void {
    this.#regular = true
    const length = Number(value)
    if (this.#contentLength >= 0 && this.#contentLength !== length) this.fault = 'two lengths'
    this.#contentLength = length
    this.#headers.push(name, value)
  }

  /** Null = malformed (RFC 9113 8.3.1), and `fault` says why. */
  finish(): RequestHead | null {
    const [method = '', path = '', scheme = '', authority = ''] = this.#pseudo
    if (this.fault !== '') return null
    if (!this.#trailers) {
      const connect = method === 'CONNECT'
      // Bits: method 1, path 2, scheme 4, authority 8.
      const well = connect ? (this.#seen & 15) === 9 : (this.#seen & 7) === 7 && path !== '' && method !== ''
      if (!well) this.fault = 'a pseudo-header is missing'
      if (!well) return null
    }
    return { method, path, scheme, authority, headers: this.#headers, contentLength: this.#contentLength }
  }
}

/** One of a flat list; undefined = it is not there. */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1]
  return undefined
}
