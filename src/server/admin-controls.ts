import type { Accounts } from '../admin/accounts.ts'
import type { CacheAdmin } from '../admin/cache.ts'
import type { HeddleConfig } from '../contracts/config.ts'
import type { Fleet } from './fleet.ts'
import { accountControl } from './account-control.ts'

/** What operators may look at and change while the process runs. */
export interface AdminControls {
  readonly accounts: Accounts
  readonly cache: CacheAdmin
}

export const adminControls = (fleet: () => Fleet, config: () => HeddleConfig): AdminControls => ({
  accounts: accountControl(fleet, config),
  cache: {
    stats: async () => (await fleet().ask({ kind: 'cache_stats' })) as object | null,
    purge: async (wish) => (await fleet().ask({ kind: 'cache_purge', wish })) as number,
    feedback: async (key, wrong) => (await fleet().ask({ kind: 'cache_feedback', key, wrong })) as boolean,
  },
})
