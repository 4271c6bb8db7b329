import type { Accounts } from '../admin/accounts.ts'
import type { HeddleConfig } from '../contracts/config.ts'
import type { Fleet } from './fleet.ts'
import type { Change } from './messages.ts'
import { systemClock } from '../core/clock.ts'
import { nameOf, readChanges, undoes, writeChanges } from './changes.ts'

/** Where changes are kept beside a ledger's file. */
const changesFile = (ledgerFile: string): string => `${ledgerFile}.changes`

/** What an earlier process was told and still holds. Throws when the file is there and cannot be read. */
export async function restoreChanges(fleet: Fleet, ledgerFile: string | null): Promise<void> {
  if (ledgerFile === null) return
  for (const change of readChanges(changesFile(ledgerFile))) await fleet.tell(change)
}

/** Limits and keys of the process: all workers are told, and with a ledger's file the next process too. */
export function accountControl(fleet: () => Fleet, config: () => HeddleConfig): Accounts {
  const tell = async (change: Change): Promise<void> => {
    await fleet().tell(change)
    const { file } = config().ledger
    if (file !== null) writeChanges(changesFile(file), fleet().changes)
  }
  // What undoes a change that still holds is possible even when the limit is gone.
  const holds = (change: Change): boolean => fleet().changes.some((one) => nameOf(one) === nameOf(change))
  return {
    limits: async () => (await fleet().ask({ kind: 'limits' })) as readonly object[],
    change: async (change) => {
      const told: Change = { kind: 'change', change }
      if (!undoes(told) || !holds(told)) {
        // Counters and all that: only who changes limits needs to know them.
        const { expectPossible } = await import('./limit-change.ts')
        expectPossible(change, config(), systemClock.now())
      }
      await tell(told)
    },
    revoked: async () => (await fleet().ask({ kind: 'revoked' })) as object,
    revoke: async (id, revoked) => {
      if (revoked) {
        const { expectKey } = await import('./limit-change.ts')
        expectKey(id, config())
      }
      await tell({ kind: 'revoke', id, revoked })
    },
  }
}
