import type { Accounts } from '../admin/accounts.ts'
import type { Fleet } from './fleet.ts'
import type { Change } from './messages.ts'
import { readChanges, writeChanges } from './changes.ts'

/** Where changes are kept beside a ledger's file. */
const changesFile = (ledgerFile: string): string => `${ledgerFile}.changes`

/** What an earlier process was told and still holds. Throws when the file is there and cannot be read. */
export async function restoreChanges(fleet: Fleet, ledgerFile: string | null): Promise<void> {
  if (ledgerFile === null) return
  for (const change of readChanges(changesFile(ledgerFile))) await fleet.tell(change)
}

/** Limits and keys of the process: all workers are told, and with a ledger's file the next process too. */
export function accountControl(fleet: () => Fleet, ledgerFile: () => string | null): Accounts {
  const tell = async (change: Change): Promise<void> => {
    await fleet().tell(change)
    const file = ledgerFile()
    if (file !== null) writeChanges(changesFile(file), fleet().changes)
  }
  return {
    limits: async () => (await fleet().ask({ kind: 'limits' })) as readonly object[],
    change: (change) => tell({ kind: 'change', change }),
    revoked: async () => (await fleet().ask({ kind: 'revoked' })) as object,
    revoke: (id, revoked) => tell({ kind: 'revoke', id, revoked }),
  }
}
