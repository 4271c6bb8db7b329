import type { HeddleConfig } from '../contracts/config.ts'
import type { LimitRule } from '../contracts/config-limits.ts'

/** Memory that all workers of the process share, by what is in it; null = nothing configured needs it yet. */
export interface SharedMemory {
  readonly ledger: SharedArrayBuffer | null
  /** Places in use at bounded backends. */
  readonly capacity: SharedArrayBuffer | null
}

const some = (owners: readonly { readonly limits: readonly LimitRule[] }[]): boolean =>
  owners.some(({ limits }) => limits.length > 0)

/** Something is counted, or a token may say that something is to be. */
export function needsLedger({ limits, auth, tenants }: HeddleConfig): boolean {
  if (limits.length > 0 || some(tenants)) return true
  if (auth === null) return false
  return (
    some(auth.keys) ||
    auth.signedKeys !== null ||
    auth.jwt.some(({ claims }) => claims.limits !== null) ||
    (auth.peers !== null && some(auth.peers.map))
  )
}

export const needsCapacity = ({ providers }: HeddleConfig): boolean =>
  providers.some(({ capacity }) => capacity !== null)
