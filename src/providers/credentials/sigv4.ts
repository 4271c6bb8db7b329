import { createHash, createHmac } from 'node:crypto'
import type { Credential } from '../../contracts/credentials.ts'
import type { HeaderList } from '../../contracts/http.ts'

export interface AwsKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | null
}

export interface SigningScope {
  readonly region: string
  readonly service: string
}

const ALGORITHM = 'AWS4-HMAC-SHA256'
const EMPTY_HASH = createHash('sha256').digest('hex')
/** Left alone by the canonical encoding (RFC 3986 unreserved); encodeURIComponent leaves these five more. */
const TOO_LENIENT = /[!'()*]/g
const NEEDS_CARE = /[^A-Za-z0-9\-._~/]|\/\/|\/\.|^$/

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

const encode = (text: string): string =>
  encodeURIComponent(text.toWellFormed()).replace(TOO_LENIENT, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    // A stray percent sign stands for itself.
    return text
  }
}

/** Dot segments and empty segments resolved, and what is sent encoded once more: the rule of all services but S3. */
function canonicalPath(path: string): string {
  if (!NEEDS_CARE.test(path)) return path
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(encode(segment))
  }
  const end = kept.length > 0 && path.endsWith('/') ? '/' : ''
  return `/${kept.join('/')}${end}`
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function canonicalQuery(query: string): string {
  if (query === '') return ''
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const at = pair.indexOf('=')
      const name = at < 0 ? pair : pair.slice(0, at)
      return [encode(decode(name)), at < 0 ? '' : encode(decode(pair.slice(at + 1)))] as const
    })
    .sort((a, b) => byText(a[0], b[0]) || byText(a[1], b[1]))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** `2015-08-30T12:36:00.000Z` as `20150830T123600Z`. */
const amzDate = (epochMs: number): string =>
  new Date(epochMs)
    .toISOString()
    .replace(/\.\d{3}/, '')
    .replace(/[-:]/g, '')

/**
 * AWS Signature Version 4, in headers (AWS General Reference, "Create a signed AWS API request"). Our own rather than
 * AWS's package because that one answers with a promise and takes objects apart that we would have to build for each
 * call; it is tested with AWS's published vectors. Signs host, date, token and what is named in `also`.
 */
export class Sigv4Signer {
  readonly #keys: AwsKeys
  readonly #scope: SigningScope
  readonly #now: () => number
  #day = ''
  #key: Buffer = Buffer.alloc(0)

  /** now: epoch ms. */
  constructor(keys: AwsKeys, scope: SigningScope, now: () => number) {
    this.#keys = keys
    this.#scope = scope
    this.#now = now
  }

  /**
   * The headers to add: x-amz-date, x-amz-security-token, authorization. path: with its query, as sent. also: further
   * headers to cover, flat, lower-case names, as sent.
   */
  sign(method: string, host: string, path: string, body: string | Buffer | null, also: HeaderList = []): HeaderList {
    const date = amzDate(this.#now())
    const { sessionToken, accessKeyId } = this.#keys
    const added = ['x-amz-date', date]
    if (sessionToken !== null) added.push('x-amz-security-token', sessionToken)
    const { lines, names } = canonicalHeaders(['host', host, ...added, ...also])
    const at = path.indexOf('?')
    const canonical = [
      method,
      canonicalPath(at < 0 ? path : path.slice(0, at)),
      at < 0 ? '' : canonicalQuery(path.slice(at + 1)),
      lines,
      names,
      body === null || body.length === 0 ? EMPTY_HASH : sha256(body),
    ].join('\n')
    const day = date.slice(0, 8)
    const scope = `${day}/${this.#scope.region}/${this.#scope.service}/aws4_request`
    const text = `${ALGORITHM}\n${date}\n${scope}\n${sha256(canonical)}`
    const signature = hmac(this.#keyOf(day), text).toString('hex')
    added.push(
      'authorization',
      `${ALGORITHM} Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    )
    return added
  }

  /** The key changes with the day only. */
  #keyOf(day: string): Buffer {
    if (day !== this.#day) {
      const { region, service } = this.#scope
      const dayKey = hmac(`AWS4${this.#keys.secretAccessKey}`, day)
      this.#key = hmac(hmac(hmac(dayKey, region), service), 'aws4_request')
      this.#day = day
    }
    return this.#key
  }
}

function canonicalHeaders(flat: HeaderList): { readonly lines: string; readonly names: string } {
  const values = new Map<string, string>()
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i]!
    const value = flat[i + 1]!.trim().replace(/ {2,}/g, ' ')
    const before = values.get(name)
    values.set(name, before === undefined ? value : `${before},${value}`)
  }
  const names = [...values.keys()].sort()
  return { lines: names.map((name) => `${name}:${values.get(name)}\n`).join(''), names: names.join(';') }
}

/** Signs each call of a provider over its final bytes. */
export class Sigv4Credential implements Pick<Credential, 'secrets' | 'sign'> {
  readonly secrets: readonly string[]
  readonly #signer: Sigv4Signer
  readonly #host: string

  constructor(keys: AwsKeys, scope: SigningScope, host: string, now: () => number) {
    this.#signer = new Sigv4Signer(keys, scope, now)
    this.#host = host
    const { accessKeyId, secretAccessKey, sessionToken } = keys
    this.secrets = [accessKeyId, secretAccessKey, ...(sessionToken === null ? [] : [sessionToken])]
  }

  sign(headers: HeaderList, method: string, path: string, body: Buffer | null): HeaderList {
    return [...headers, ...this.#signer.sign(method, this.#host, path, body)]
  }
}
