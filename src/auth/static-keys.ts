import { timingSafeEqual } from 'node:crypto'
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

/** 48 bits: the most that a number reads at once exactly. */
const PREFIX_BYTES = 6

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
      const { id: keyId, tenant, team, user, roles, grant, limits, expiresAt, hashes } = key
      const rules = [compileRule(`key ${keyId}`, grant)]
      const caller = { ...BARE_CALLER, kind: 'api_key' as const, keyId, tenant, team, user, roles, limits, expiresAt }
      const principal = principals.make({ ...caller, rules })
      for (const { sha256, until } of hashes) {
        const digest = Buffer.from(sha256, 'hex')
        const prefix = digest.readUIntBE(0, PREFIX_BYTES)
        const entries = byPrefix.get(prefix)
        if (entries === undefined) byPrefix.set(prefix, [{ digest, until, principal }])
        else entries.push({ digest, until, principal })
      }
    }
    this.#byPrefix = byPrefix
  }

  /** By the SHA-256 of what was sent, 32 bytes. */
  find(digest: Buffer): StaticKey | null {
    const entries = this.#byPrefix.get(digest.readUIntBE(0, PREFIX_BYTES))
    if (entries === undefined) return null
    for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) return entry
    return null
  }
}
