import { readFile } from 'node:fs/promises'
import type { JSONWebKeySet, JWK, JWTVerifyGetKey } from 'jose'
import type { JwtConfig } from '../contracts/config-auth.ts'
import type { Clock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { fetchSmall } from '../core/http-client.ts'

type UrlSource = Extract<JwtConfig['jwks'], { readonly kind: 'url' }>

/** One state of a key set. */
interface Keys {
  readonly set: JSONWebKeySet
  /** Made on first use: only those who get tokens load what verifies them. */
  resolve: JWTVerifyGetKey | null
  /** Key id to the keys of that id, as text; '' = all keys. */
  readonly texts: ReadonlyMap<string, string>
}

/** How fetches fared, for logs and metrics. `message` names the host and the cause, nothing secret. */
export interface KeySetEvent {
  readonly url: string
  readonly ok: boolean
  readonly message: string
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
const KINDS: readonly unknown[] = ['RSA', 'EC', 'OKP']

const isPublicKey = (key: unknown): key is JWK & { readonly kid?: string } => {
  if (typeof key !== 'object' || key === null) return false
  const { kty, kid } = key as Readonly<Record<string, unknown>>
  // A symmetric key in a published set would be one that everybody can sign with.
  return (
    KINDS.includes(kty) &&
    !PRIVATE_MEMBERS.some((name) => Object.hasOwn(key, name)) &&
    (kid === undefined || typeof kid === 'string')
  )
}

/** Null when the text is no JWK set, or holds no public key. */
const parseKeys = (text: string): Keys | null => {
  let set: unknown
  try {
    set = JSON.parse(text)
  } catch {
    return null
  }
  const list = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : null
  if (!Array.isArray(list) || list.length > 1000) return null
  const keys = (list as readonly unknown[]).filter(isPublicKey)
  if (keys.length === 0) return null
  const texts = new Map<string, string>([['', JSON.stringify(keys)]])
  for (const key of keys) {
    if (key.kid !== undefined && key.kid !== '') texts.set(key.kid, (texts.get(key.kid) ?? '') + JSON.stringify(key))
  }
  return { set: { keys }, resolve: null, texts }
}

export interface KeySetParts {
  readonly clock: Clock
  readonly onEvent?: ((event: KeySetEvent) => void) | undefined
}

/**
 * The public keys of one issuer. Fetched when made, then regularly, and when a token names a key that is not known (not
 * more often than the cooldown allows). The last good set stays in use for as long as the issuer cannot be reached.
 */
export class KeySet {
  readonly #source: UrlSource | null
  readonly #parts: KeySetParts
  #keys: Keys | null = null
  #flight: Promise<void> | null = null
  /** Clock.monotonic. */
  #nextRegular = -Infinity
  #nextUnknown = -Infinity
  #lastFault = 'not fetched yet'

  constructor(source: JwtConfig['jwks'], parts: KeySetParts) {
    this.#parts = parts
    this.#source = source.kind === 'url' ? source : null
    if (source.kind === 'inline') this.#take(parseKeys(source.text))
    else void this.#fetch()
  }

  /** Why there are no keys. */
  get fault(): string {
    return this.#lastFault
  }

  /** What identifies the key with this id now ('' = a token without one); undefined = there is no such key. */
  textOf(kid: string): string | undefined {
    return this.#keys?.texts.get(kid)
  }

  /**
   * The keys to verify a token with that names `kid` ('' = none), and what identifies the one it names, both of one
   * moment. Waits for a fetch only when there is no such key and a fetch is due or under way. null = no set came so far.
   */
  async keysFor(kid: string): Promise<{ readonly resolve: JWTVerifyGetKey; readonly text: string | undefined } | null> {
    // One that is under way may have begun before the key was added: then another follows.
    if (this.textOf(kid) === undefined && this.#flight !== null) await this.#flight
    if (this.textOf(kid) === undefined) await this.#refreshForUnknown()
    const keys = this.#keys
    if (keys === null) return null
    const { createLocalJWKSet } = await import('jose')
    keys.resolve ??= createLocalJWKSet(keys.set)
    return { resolve: keys.resolve, text: keys.texts.get(kid) }
  }

  /** Does what is due. Called every few seconds by the registry. */
  tick(): void {
    if (this.#source !== null && this.#parts.clock.monotonic() >= this.#nextRegular) void this.#fetch()
  }

  async #refreshForUnknown(): Promise<void> {
    if (this.#flight !== null) return this.#flight
    if (this.#source === null) return
    const now = this.#parts.clock.monotonic()
    // Its own clock: a regular fetch a moment ago must not keep a key from being found that was added since.
    if (now < this.#nextUnknown) return
    this.#nextUnknown = now + this.#source.cooldownMs
    await this.#fetch()
  }

  /** One at a time; never rejects. */
  #fetch(): Promise<void> {
    this.#flight ??= this.#load().finally(() => {
      this.#flight = null
    })
    return this.#flight
  }

  async #load(): Promise<void> {
    const source = this.#source
    if (source === null) return
    const { clock, onEvent } = this.#parts
    let message = ''
    try {
      const keys = await download(source)
      if (keys === null) message = 'the answer is no JWK set with public keys'
      else this.#take(keys)
    } catch (error) {
      message = error instanceof Error ? error.message : 'failed'
    }
    const ok = message === ''
    this.#lastFault = message
    this.#nextRegular = clock.monotonic() + (ok ? source.refreshMs : Math.min(source.cooldownMs, source.refreshMs))
    onEvent?.({ url: source.url, ok, message })
  }

  #take(keys: Keys | null): void {
    if (keys === null || keys.texts.get('') === this.#keys?.texts.get('')) return
    this.#keys = keys
  }
}

/** Rejects with an Error fit for a log. */
const download = async (source: UrlSource): Promise<Keys | null> => {
  const ca = source.caFile === null ? source.ca : await readText(source.caFile)
  const bearer = source.bearerFile === null ? null : (await readText(source.bearerFile)).trim()
  const headers = {
    accept: 'application/json',
    ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
  }
  const { status, body } = await fetchSmall(source.url, { headers, ca })
  if (status !== 200) throw new Error(`${new URL(source.url).host}: answered ${status}`)
  return parseKeys(body)
}

const readText = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw new Error(`${path}: ${code}`, { cause: error })
  }
}

/** How often the sets are asked whether something is due. */
const TICK_MS = 1000

/**
 * The key sets of a process or worker. It outlives reloads of the configuration: an issuer that cannot be reached just
 * then goes on to be verified with what is known of it.
 */
export class KeySets {
  readonly #parts: KeySetParts
  readonly #sets = new Map<string, { readonly set: KeySet; users: number }>()
  #stop: (() => void) | null = null

  constructor(parts: KeySetParts) {
    this.#parts = parts
  }

  /** The set of this source, the same one for an equal source, until as many `release` have followed. */
  get(source: JwtConfig['jwks']): KeySet {
    const name = JSON.stringify(source)
    let entry = this.#sets.get(name)
    if (entry === undefined) {
      entry = { set: new KeySet(source, this.#parts), users: 0 }
      this.#sets.set(name, entry)
    }
    entry.users += 1
    this.#stop ??= everyUnref(() => this.tick(), TICK_MS)
    return entry.set
  }

  release(source: JwtConfig['jwks']): void {
    const name = JSON.stringify(source)
    const entry = this.#sets.get(name)
    if (entry === undefined) return
    entry.users -= 1
    if (entry.users === 0) this.#sets.delete(name)
    if (this.#sets.size > 0) return
    this.#stop?.()
    this.#stop = null
  }

  /** Does what is due; the timer of the registry calls it. */
  tick(): void {
    for (const { set } of this.#sets.values()) set.tick()
  }
}
