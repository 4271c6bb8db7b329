// Limits that change while requests run: nothing that is held or used gets lost.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { chat, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let folder = ''
let gateway: Gateway
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-money-'))
})
afterEach(async () => {
  await gateway.stop()
  rmSync(folder, { recursive: true })
})

const SECRETS = ['sk-money-first-0123456789abcdef', 'sk-money-second-0123456789abcdef'] as const
const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

const config = (limits: string, { secret = SECRETS[0], carried = '' }: { secret?: string; carried?: string } = {}) => `
usage: { records: { file: { path: "${folder}/usage.jsonl" } } }
providers: { sim: }
models:
  m: { targets: [{ provider: sim, model: sim-chat, price: { input: 100, output: 100 } }] }
tenants: { loom: {} }
auth: { keys: [{ id: loom, hash: "sha256:${hash(secret)}", tenant: loom${carried} }] }
${limits}`

const ask = (extra: object = {}, secret: string = SECRETS[0], fault = 'interval=2') =>
  chat(gateway.url, 'm', { max_tokens: 30, ...extra }, { authorization: `Bearer ${secret}`, 'x-sim-fault': fault })

interface Row {
  readonly limit: string
  readonly unit: string
  readonly period: string
  readonly amount: number
  readonly used: number
  readonly reserved: number
}
const rows = async (): Promise<readonly Row[]> =>
  ((await (await fetch(`${gateway.adminUrl}/admin/limits`)).json()) as { readonly limits: readonly Row[] }).limits
const row = async (limit: string, unit: string, period: string): Promise<Row | undefined> =>
  (await rows()).find((r) => r.limit === limit && r.unit === unit && r.period === period)

const spent = async (count: number): Promise<number> => {
  const read = (): readonly string[] => readFileSync(join(folder, 'usage.jsonl'), 'utf8').split('\n').slice(0, -1)
  await until(() => read().length >= count)
  return read().reduce(
    (sum, line) => sum + Math.round(Number((JSON.parse(line) as { cost_usd: string }).cost_usd) * 1e9),
    0,
  )
}
const nano = (usd: number | undefined): number => Math.round((usd ?? 0) * 1e9)

test('amounts and periods change under requests: all of them are settled where they were taken', async () => {
  const budget = (amount: number, period: string): string =>
    `limits: { money: { per: [key], rules: [{ usd: ${amount}, per: month }] }, other: { per: [key], rules: [{ tokens: ${amount * 1e6}, per: ${period} }, { concurrency: ${amount} }] } }`
  gateway = await startGateway(config(budget(90, '1h')))
  const answers: Promise<{ readonly status: number }>[] = []
  const more = (): void => {
    for (let i = 0; i < 12; i++) answers.push(ask({ stream: i % 2 === 0 }))
  }
  more()
  for (const [amount, period] of [
    [80, 'day'],
    [70, '2h'],
    [60, '1h'],
  ] as const) {
    expect(await gateway.reload(config(budget(amount, period)))).toBe(true)
    more()
  }
  const statuses = (await Promise.all(answers)).map(({ status }) => status)
  expect(statuses.every((status) => status === 200)).toBe(true)
  await until(async () => (await rows()).every(({ reserved }) => reserved === 0))
  const cost = await spent(48)
  expect(nano((await row('money', 'usd', 'month:UTC'))?.used)).toBe(cost)
  const tokens = (await rows()).filter(({ limit, unit }) => limit === 'other' && unit === 'tokens')
  expect(tokens.map(({ period }) => period).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    'day:UTC',
    'sliding:3600000',
    'sliding:7200000',
  ])
  // A ten-thousandth of a dollar a token: each was counted in the period that held when its request was admitted.
  expect(tokens.reduce((sum, { used }) => sum + used, 0)).toBe(cost / 1e5)
  expect((await rows()).filter(({ unit, used }) => unit === 'concurrency' && used !== 0)).toEqual([])
})

test('an amount below what is used refuses at once and says nothing below zero', async () => {
  const money = (usd: number): string =>
    `limits: { money: { per: [key], rules: [{ usd: ${usd}, per: month }, { tokens: ${usd * 1e5}, per: 1h }] } }`
  gateway = await startGateway(config(money(10)))
  for (let i = 0; i < 5; i++) expect((await ask()).status).toBe(200)
  const used = nano((await row('money', 'usd', 'month:UTC'))?.used)
  expect(await gateway.reload(config(money(0.0002)))).toBe(true)
  const refused = await ask()
  expect([refused.status, refused.headers['x-ratelimit-remaining-tokens']]).toEqual([429, '0'])
  expect(refused.headers['x-ratelimit-reset-tokens']).toMatch(/^(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s|\d+ms)$/)
  expect(nano((await row('money', 'usd', 'month:UTC'))?.used)).toBe(used)
})

test('a limit that is taken away and comes back goes on where it was; a new secret changes nothing', async () => {
  const money = 'limits: { money: { per: [key], rules: [{ usd: 10, per: month }] } }'
  gateway = await startGateway(config(money))
  expect((await ask()).status).toBe(200)
  const used = async (): Promise<number> => nano((await row('money', 'usd', 'month:UTC'))?.used)
  const first = await used()
  expect(first).toBe(await spent(1))
  // One that is under way when its limit goes is settled all the same.
  const slow = ask({ stream: true }, SECRETS[0], 'interval=15')
  await until(async () => ((await row('money', 'usd', 'month:UTC'))?.reserved ?? 0) > 0)
  expect(await gateway.reload(config(''))).toBe(true)
  expect((await slow).status).toBe(200)
  expect((await ask()).status).toBe(200)
  expect(await gateway.reload(config(money, { secret: SECRETS[1] }))).toBe(true)
  expect((await ask({}, SECRETS[0])).status).toBe(401)
  expect((await ask({}, SECRETS[1])).status).toBe(200)
  const lines = readFileSync(join(folder, 'usage.jsonl'), 'utf8').split('\n').slice(0, -1)
  await until(async () => ((await row('money', 'usd', 'month:UTC'))?.reserved ?? 1) === 0)
  await spent(4)
  const costs = readFileSync(join(folder, 'usage.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => Math.round(Number((JSON.parse(line) as { cost_usd: string }).cost_usd) * 1e9))
  expect(lines.length).toBeGreaterThanOrEqual(3)
  // All but the one that was sent while there was no limit.
  expect(await used()).toBe(costs.reduce((a, b) => a + b, 0) - costs[2]!)
})

test('what a key carries changes with it, and what it has used stays', async () => {
  gateway = await startGateway(config('', { carried: ', limits: [{ requests: 3, per: 1h }]' }))
  for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200)
  expect((await ask()).status).toBe(429)
  expect(await gateway.reload(config('', { carried: ', limits: [{ requests: 5, per: 1h }]' }))).toBe(true)
  expect([(await ask()).status, (await ask()).status, (await ask()).status]).toEqual([200, 200, 429])
})
