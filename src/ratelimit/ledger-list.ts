import type { LimitUnit } from '../contracts/config-limits.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { CALENDAR, NANO, OPEN, PARTS, readLabel, RING, WINDOW } from './counter.ts'
import type { ScopePart } from './counter.ts'
import type { LedgerMemory } from './ledger-memory.ts'
import type { RedisLedger } from './redis-ledger.ts'
import { AMOUNT, PART, PERIOD, SETTLED, UNTIL } from './ledger-table.ts'
import type { LedgerTable } from './ledger-table.ts'

/** One counter, for people. Amounts in US dollars for `usd`, else counts. */
export interface CounterState {
  /** 16 hex digits. */
  readonly id: string
  readonly limit: string
  readonly scope: readonly ScopePart[]
  readonly unit: LimitUnit
  /** `sliding:60000`, `month:Europe/Berlin`, `open`. */
  readonly period: string
  readonly amount: number
  /** Settled, and taken by calls under way. */
  readonly used: number
  /** The part of it that calls under way hold; of a sliding window it is not told apart and 0. */
  readonly reserved: number
  readonly remaining: number
  /** Epoch ms at which all is back if nothing more is used; null = when calls end. */
  readonly resetsAt: number | null
}

/** Slots that are read with the lock held at once: requests wait meanwhile. */
const CHUNK = 256

interface Raw {
  readonly id: string
  readonly label: string
  readonly kind: number
  readonly amount: number
  readonly used: number
  readonly reserved: number
  readonly resetsAt: number | null
}

const windowOf = (label: string): number => Number(readLabel(label).period.split(':')[1] ?? 0)

const readSlot = (table: LedgerTable, slot: number, monotonic: number, wall: number): Raw | null => {
  const kind = table.kind(slot)
  if (kind === 0) return null
  const base = table.base(slot)
  const { floats } = table
  const reserved = kind === WINDOW ? 0 : table.reserved(slot)
  const over = (kind === CALENDAR ? wall : monotonic) >= floats[base + UNTIL]!
  if (over && reserved === 0) return null
  const label = table.label(slot)
  const common = { id: table.id(slot), label, kind, amount: floats[base + AMOUNT]!, reserved }
  if (kind === OPEN) return { ...common, used: reserved, resetsAt: null }
  if (kind === CALENDAR) {
    return { ...common, used: (over ? 0 : floats[base + SETTLED]!) + reserved, resetsAt: floats[base + UNTIL]! }
  }
  const windowMs = windowOf(label)
  const newest = floats[base + PART]!
  const oldest = Math.max(0, Math.floor((monotonic * PARTS) / windowMs) - PARTS)
  let used = 0
  for (let part = Math.max(oldest, newest - PARTS); part <= newest; part++) used += floats[base + (part % RING)]!
  return { ...common, used, resetsAt: Math.ceil(((newest + RING) * windowMs) / PARTS - monotonic + wall) }
}

const toState = ({ id, label, amount, used, reserved, resetsAt }: Raw): CounterState => {
  const { limit, unit, period, scope } = readLabel(label)
  const factor = unit === 'usd' ? NANO : 1
  const remaining = Math.max(0, amount - used) / factor
  return {
    id,
    limit,
    scope,
    unit,
    period,
    amount: amount / factor,
    used: used / factor,
    reserved: reserved / factor,
    remaining,
    resetsAt,
  }
}

const readAll = ({ table }: LedgerMemory, clock: Clock): readonly Raw[] => {
  const found: Raw[] = []
  const monotonic = clock.monotonic()
  const wall = clock.now()
  for (let from = 0; from < table.slots; from += CHUNK) {
    table.lock.acquire()
    try {
      for (let slot = from; slot < Math.min(table.slots, from + CHUNK); slot++) {
        const raw = readSlot(table, slot, monotonic, wall)
        if (raw !== null) found.push(raw)
      }
    } finally {
      table.lock.release()
    }
  }
  return found
}

/** All counters of the process that hold something, in any thread that shares them. */
export const listCounters = (memory: LedgerMemory, clock: Clock = systemClock): readonly CounterState[] =>
  readAll(memory, clock).map(toState)

/**
 * The same counters with what all replicas have used, as Redis says; counters that only other replicas have seen are not
 * among them. While Redis is away: what this process alone has used.
 */
export const listShared = async (
  memory: LedgerMemory,
  redis: RedisLedger,
  clock: Clock = systemClock,
): Promise<readonly CounterState[]> => {
  const rows = readAll(memory, clock)
  const answers = await redis.peek(
    rows.map(({ id, label, kind }) => ({
      id,
      tag: readLabel(label).tag,
      windowMs: kind === WINDOW ? windowOf(label) : 0,
    })),
  )
  return rows.map((row, i) => toState({ ...row, ...answers?.[i] }))
}

/** One budget as it is kept over restarts. */
export interface SavedAccount {
  readonly id: string
  readonly label: string
  /** Epoch ms. */
  readonly start: number
  readonly end: number
  readonly settled: number
}

/** What has been settled in calendar periods that are not over. */
export const saveAccounts = ({ table }: LedgerMemory, wall: number): readonly SavedAccount[] => {
  const found: SavedAccount[] = []
  for (let from = 0; from < table.slots; from += CHUNK) {
    table.lock.acquire()
    try {
      for (let slot = from; slot < Math.min(table.slots, from + CHUNK); slot++) {
        const base = table.base(slot)
        if (table.kind(slot) !== CALENDAR || table.floats[base + UNTIL]! <= wall) continue
        const settled = table.floats[base + SETTLED]!
        if (settled === 0) continue
        const [start, end] = [table.floats[base + PERIOD]!, table.floats[base + UNTIL]!]
        found.push({ id: table.id(slot), label: table.label(slot), start, end, settled })
      }
    } finally {
      table.lock.release()
    }
  }
  return found
}

/** Puts budgets back, before anything is counted; those whose period is over are left out. Answers how many. */
export const restoreAccounts = (
  { table }: LedgerMemory,
  accounts: readonly SavedAccount[],
  clock: Clock = systemClock,
): number => {
  const [monotonic, wall] = [clock.monotonic(), clock.now()]
  let restored = 0
  for (const { id, label, start, end, settled } of accounts) {
    if (end <= wall || start > wall) continue
    const bytes = Buffer.from(id, 'hex')
    const key = { hi: bytes.readInt32LE(0), lo: bytes.readInt32LE(4), label, rule: { kind: CALENDAR }, slot: -1 }
    table.lock.acquire()
    try {
      const slot = table.find(key, monotonic, wall)
      if (slot < 0) continue
      const base = table.base(slot)
      table.floats[base + PERIOD] = start
      table.floats[base + UNTIL] = end
      table.floats[base + SETTLED] = settled
      restored++
    } finally {
      table.lock.release()
    }
  }
  return restored
}
