import type { LedgerConfig } from '../contracts/config-limits.ts'
import type { UsageConfig } from '../contracts/config-usage.ts'

const MASK = '***'

/** Fit for a dump: without the password. */
export const maskLedger = (ledger: LedgerConfig): LedgerConfig =>
  ledger.redis === null || ledger.redis.password === null
    ? ledger
    : { ...ledger, redis: { ...ledger.redis, password: MASK } }

/** Header values of the collector are keys as often as not. */
export const maskUsage = (usage: UsageConfig): UsageConfig => {
  const { otlp } = usage.records
  if (otlp === null) return usage
  const headers = Object.fromEntries(Object.keys(otlp.headers).map((name) => [name, MASK]))
  return { ...usage, records: { ...usage.records, otlp: { ...otlp, headers } } }
}
