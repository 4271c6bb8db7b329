import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import type { Principal } from '../contracts/identity.ts'
import { isObject, type JsonObject } from './json-rpc.ts'

/** A session of a server, as the server named it. */
export interface ServerTicket {
  /** '' = the server keeps none. */
  readonly id: string
  /** That was agreed with it. */
  readonly revision: string
}

/** All that is kept of a client's session, by the client itself: any worker can serve it, and none must remember it. */
export interface Session {
  /** 24 hexadecimal characters: names it among workers. */
  readonly nonce: string
  /** Epoch ms. */
  readonly expiresAt: number
  /** Whose own endpoint it was begun at; '' = the common one. */
  readonly scope: string
  readonly revision: string
  readonly clientInfo: JsonObject
  readonly capabilities: JsonObject
  /** By name; a server that could not be reached is missing. */
  readonly servers: Readonly<Record<string, ServerTicket>>
}

const VERSION = 1
const IV_BYTES = 12
const TAG_BYTES = 16
/** Longer ones would not fit into a header together with the rest. */
const MAX_LENGTH = 12 * 1024
const SHAPE = /^[A-Za-z0-9_-]{40,12288}$/

const callers = new WeakMap<Principal, string>()

/** Names a caller so that no other one has the same: what seals are bound to. The same over renewals of a token. */
export function callerOf(principal: Principal): string {
  let name = callers.get(principal)
  if (name === undefined) {
    const { kind, keyId, tenant, user, peer } = principal
    name = createHash('sha256')
      .update(JSON.stringify([kind, keyId, tenant, user, peer?.id ?? '']))
      .digest('base64url')
    callers.set(principal, name)
  }
  return name
}

const keyOf = (secret: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, 'heddle', 'mcp session ids, version 1', 32))

const isTickets = (value: unknown): value is Record<string, [string, string]> =>
  isObject(value) &&
  Object.values(value).every((t) => Array.isArray(t) && typeof t[0] === 'string' && typeof t[1] === 'string')

/** AES-256-GCM (NIST SP 800-38D) with a random nonce: 2^32 sessions a secret. The caller is the associated data. */
export class SessionSealer {
  readonly #keys: readonly Buffer[]
  readonly #now: () => number

  /** secrets: the first seals, all open; not empty. now: epoch ms. */
  constructor(secrets: readonly string[], now: () => number) {
    this.#keys = secrets.map(keyOf)
    this.#now = now
  }

  static nonce(): string {
    return randomBytes(12).toString('hex')
  }

  /** null = it holds too much to be one. */
  seal(session: Session, caller: string): string | null {
    const { nonce, expiresAt, scope, revision, clientInfo, capabilities, servers } = session
    const tickets = Object.fromEntries(Object.entries(servers).map(([name, { id, revision: r }]) => [name, [id, r]]))
    const text = JSON.stringify([VERSION, nonce, expiresAt, scope, revision, clientInfo, capabilities, tickets])
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#keys[0]!, iv, { authTagLength: TAG_BYTES })
    cipher.setAAD(Buffer.from(caller))
    const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    const id = sealed.toString('base64url')
    return id.length > MAX_LENGTH ? null : id
  }

  /** null = it was not sealed here for this caller, or it is over. Never throws. */
  open(id: string, caller: string): Session | null {
    if (!SHAPE.test(id)) return null
    const sealed = Buffer.from(id, 'base64url')
    // More than one text decodes to the same bytes: only the one that was given out is an id.
    if (sealed.length <= IV_BYTES + TAG_BYTES || sealed.toString('base64url') !== id) return null
    for (const key of this.#keys) {
      const text = opened(sealed, key, caller)
      if (text !== null) return this.#read(text)
    }
    return null
  }

  #read(text: string): Session | null {
    const value: unknown = JSON.parse(text)
    if (!Array.isArray(value) || value[0] !== VERSION) return null
    const [, nonce, expiresAt, scope, revision, clientInfo, capabilities, tickets] = value as unknown[]
    if (typeof expiresAt !== 'number' || expiresAt <= this.#now()) return null
    if (typeof nonce !== 'string' || typeof scope !== 'string' || typeof revision !== 'string') return null
    if (!isObject(clientInfo) || !isObject(capabilities) || !isTickets(tickets)) return null
    const servers = Object.fromEntries(Object.entries(tickets).map(([name, [id, r]]) => [name, { id, revision: r }]))
    return { nonce, expiresAt, scope, revision, clientInfo, capabilities, servers }
  }
}

function opened(sealed: Buffer, key: Buffer, caller: string): string | null {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(caller))
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString()
  } catch {
    return null
  }
}
