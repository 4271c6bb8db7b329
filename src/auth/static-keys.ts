import { hash, timingSafeEqual } from 'node:crypto'
import type { KeyConfig } from '../contracts/config-auth.ts'
import type { Principal } from '../contracts/identity.ts'
import { compileRule } from './access.ts'
import { BARE_CALLER } from './principal.ts'
import type { Principals } from './principal.ts'

export interface StaticKey {
  readonly digest: Buffer
  /** Epoch ms: the end of this secret, which is before the end of its key when it has been replaced. */
  readonly until: number
  readonly principal: Principal
}

/** The first 48 bits of a digest, which a number holds exactly. */
const prefixOf = (digest: string): number =>
  ((digest.charCodeAt(0) << 16) | (digest.charCodeAt(1) << 8) | digest.charCodeAt(2)) * 0x1000000 +
  ((digest.charCodeAt(3) << 16) | (digest.charCodeAt(4) << 8) | digest.charCodeAt(5))

/** SHA-256 of a credential, 32 characters of one byte each: as text it costs a third of what it does as a buffer. */
export const digestOf = (credential: string): string => hash('sha256', credential, 'latin1')

/** What is compared, filled for each look-up: nothing in between waits. */
const scratch = Buffer.alloc(32)

/**
 * Keys by the SHA-256 of their secret. What is compared is digests: how much of a guess agrees with a key says nothing of
 * how much of the digests does, so that the time of a look-up tells nothing about any key. The first bytes find the
 * entry, all bytes are then compared in constant time.
 */
export class StaticKeys {
  readonly #byPrefix: ReadonlyMap<number, readonly StaticKey[]>

  constructor(keys: readonly KeyConfig[], principals: Principals) {
    const byPrefix = new Map<number, StaticKey[]>()
    for (const key of keys) {
      const { id: keyId, tenant, team, user, roles, grant, limits, labels, expiresAt, hashes } = key
      const rules = [compileRule(`key ${keyId}`, grant)]
      const caller = {
        ...BARE_CALLER,
        kind: 'api_key' as const,
        keyId,
        tenant,
        team,
        user,
        roles,
        limits,
        labels,
        expiresAt,
      }
      const principal = principals.make({ ...caller, rules })
      for (const { sha256, until } of hashes) {
        const digest = Buffer.from(sha256, 'hex')
        const prefix = prefixOf(digest.toString('latin1'))
        const entries = byPrefix.get(prefix)
        if (entries === undefined) byPrefix.set(prefix, [{ digest, until, principal }])
        else entries.push({ digest, until, principal })
      }
    }
    this.#byPrefix = byPrefix
  }

  /** By what `digestOf` makes of the credential that was sent. */
  find(digest: string): StaticKey | null {
    const entries = this.#byPrefix.get(prefixOf(digest))
    if (entries === undefined || digest.length !== scratch.length) return null
    scratch.write(digest, 'latin1')
    for (const entry of entries) if (timingSafeEqual(entry.digest, scratch)) return entry
    return null
  }
}
