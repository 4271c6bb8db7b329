import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Counter, CounterSet, toRules } from './counter.ts'
import { LedgerFile } from './ledger-file.ts'
import { listCounters } from './ledger-list.ts'
import { LedgerMemory } from './ledger-memory.ts'

const START = Date.parse('2026-06-15T12:00:00Z')
let folder = ''
let path = ''
let time = START
const clock = { now: () => time, monotonic: () => time }

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-ledger-'))
  path = join(folder, 'ledger.json')
  time = START
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const budget = () => {
  const traits = { name: 'budget', shadow: false, stopStreams: false, onStoreFailure: 'local' } as const
  const rules = toRules(
    [
      { unit: 'usd', amount: 1, period: { kind: 'calendar', unit: 'month', zone: 'UTC' } },
      { unit: 'requests', amount: 100, period: { kind: 'sliding', windowMs: 60_000 } },
      { unit: 'concurrency', amount: 5, period: { kind: 'open' } },
    ],
    traits,
  )
  return new CounterSet(rules.map((rule) => new Counter(rule, [{ kind: 'tenant', value: 'acme' }], 'acme')))
}

const money = (nanoUsd: number) => ({ inputTokens: 0, outputTokens: 0, nanoUsd })

const spend = (memory: LedgerMemory, nanoUsd: number): boolean => {
  const set = budget()
  if (!memory.reserve(set, money(nanoUsd))) return false
  const { at, skipped } = memory.outcome
  memory.settle(set, { at, skipped, tokens: 0, ...money(nanoUsd) }, money(nanoUsd))
  return true
}

const process_ = () => {
  const log: string[] = []
  const memory = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const file = new LedgerFile({ path, memory, clock, log: (level, message) => log.push(`${level} ${message}`) })
  file.load()
  return { memory, file, log }
}

test('budgets go on after a restart, and begin anew in a new period', async () => {
  const first = process_()
  expect(spend(first.memory, 6e8)).toBe(true)
  await first.file.save()
  const second = process_()
  expect(spend(second.memory, 5e8)).toBe(false)
  expect(spend(second.memory, 4e8)).toBe(true)
  second.file.close()
  const third = process_()
  expect(spend(third.memory, 1)).toBe(false)
  time = Date.parse('2026-07-01T00:00:00Z')
  expect(spend(third.memory, 1e9)).toBe(true)
  expect(spend(process_().memory, 1e9)).toBe(true)
})

test('nothing is written when nothing has changed', async () => {
  const { memory, file } = process_()
  await file.save()
  rmSync(path, { force: true })
  await file.save()
  expect(existsSync(path)).toBe(false)
  spend(memory, 1)
  await file.save()
  expect(readFileSync(path, 'utf8')).toContain('acme')
})

test('a file that is no ledger is kept aside, one that cannot be written is reported once', async () => {
  writeFileSync(path, '{"version":1,"acc')
  const { memory, file, log } = process_()
  expect(log).toEqual(['warn ledger: the file cannot be read, budgets begin anew'])
  expect(readFileSync(`${path}.unreadable`, 'utf8')).toBe('{"version":1,"acc')
  rmSync(folder, { recursive: true })
  for (let i = 0; i < 3; i++) {
    spend(memory, 1)
    await file.save()
  }
  expect(log.slice(1)).toEqual(['warn ledger: the file cannot be written'])
  file.close()
  expect(readFileSync(path, 'utf8')).toContain('"settled":3')
})

test('the listing says what is used, held and left, and when it comes back', () => {
  const { memory } = process_()
  spend(memory, 25e7)
  memory.reserve(budget(), money(5e8))
  const [usd, requests, places] = ['usd', 'requests', 'concurrency'].map((unit) =>
    listCounters(memory, clock).find((counter) => counter.unit === unit),
  )
  expect(usd).toMatchObject({
    limit: 'budget',
    scope: [{ kind: 'tenant', value: 'acme' }],
    period: 'month:UTC',
    amount: 1,
    used: 0.75,
    reserved: 0.5,
    remaining: 0.25,
    resetsAt: Date.parse('2026-07-01T00:00:00Z'),
  })
  expect(requests).toMatchObject({ amount: 100, used: 2, remaining: 98, resetsAt: START + 63_000 })
  expect(places).toMatchObject({ amount: 5, used: 1, reserved: 1, remaining: 4, resetsAt: null })
})
