import type { Principal } from '../../../contracts/identity.ts'
import type { Snapshot } from '../../snapshot.ts'
import { ANONYMOUS } from '../../../auth/anonymous.ts'
import { BARE_CALLER, Principals } from '../../../auth/principal.ts'
import { StaticKeys } from '../../../auth/static-keys.ts'
import type { BatchCaller } from './records.ts'

/**
 * Who a batch belongs to, by the rules that hold now: a key that has lost its rights, or is gone, has lost them for what
 * is left of its batches, too. What a token granted is only known where it was shown.
 */
export class Callers {
  readonly #shown = new Map<string, Principal>()
  readonly #found = new WeakMap<Snapshot, Map<string, Principal | null>>()
  readonly #revoked: (keyId: string) => boolean
  readonly #now: () => number

  /** now: epoch ms. */
  constructor(revoked: (keyId: string) => boolean, now: () => number) {
    this.#revoked = revoked
    this.#now = now
  }

  /** Has sent the batch here. */
  shown(batch: string, principal: Principal): void {
    this.#shown.set(batch, principal)
  }

  forget(batch: string): void {
    this.#shown.delete(batch)
  }

  /** null = it may do nothing (more), or nobody here knows what it may do. */
  find(snapshot: Snapshot, batch: string, caller: BatchCaller): Principal | null {
    if (caller.keyId !== '' && this.#revoked(caller.keyId)) return null
    if (caller.peer || (caller.kind !== 'api_key' && caller.kind !== 'anonymous')) return this.#shown.get(batch) ?? null
    let found = this.#found.get(snapshot)
    if (found === undefined) this.#found.set(snapshot, (found = new Map()))
    const key = JSON.stringify(caller)
    let principal = found.get(key)
    if (principal === undefined) found.set(key, (principal = made(snapshot, caller)))
    return principal !== null && principal.expiresAt <= this.#now() ? null : principal
  }
}

function made({ config }: Snapshot, { kind, keyId, tenant }: BatchCaller): Principal | null {
  const { auth, tenants } = config
  if (kind === 'anonymous') {
    if (auth === null) return ANONYMOUS
    const { allowed, roles } = auth.anonymous
    const principals = new Principals(auth.roles, tenants)
    return allowed ? principals.make({ ...BARE_CALLER, kind: 'anonymous', keyId: '', roles }) : null
  }
  const key = auth?.keys.find(({ id }) => id === keyId)
  const digest = key?.hashes[0]?.sha256
  if (auth === null || key === undefined || key.tenant !== tenant || digest === undefined) return null
  const keys = new StaticKeys([key], new Principals(auth.roles, tenants))
  return keys.find(Buffer.from(digest, 'hex').toString('latin1'))?.principal ?? null
}
