import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { Counter, toRules } from '../../src/ratelimit/counter.ts'
import { redisServer, TestRedis } from '../support/redis.ts'
import { instanceOf, limitOf, pause, redisConfig, sliding, until, yearly } from './ledger-kit.ts'
import type { CallLine } from './ledger-process.ts'

const REPLICAS = 4
const WINDOW_MS = 2000
const REQUESTS = 120
const TOKENS = 9000
const BUDGET_TOKENS = 60_000

interface Replica {
  readonly calls: CallLine[]
  slowest: number
  kill(): void
  finish(): Promise<void>
}

const startReplica = (argument: string): Replica => {
  const script = `${import.meta.dirname}/ledger-process.ts`
  const child = spawn(process.execPath, [script, argument], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise<void>((resolve) => void child.once('exit', () => resolve()))
  const replica: Replica = {
    calls: [],
    slowest: 0,
    kill: () => void child.kill('SIGKILL'),
    async finish() {
      child.stdin.write('stop\n')
      await exited
    },
  }
  createInterface({ input: child.stdout }).on('line', (line) => {
    const value = JSON.parse(line) as CallLine | { slowest: number }
    if ('slowest' in value) replica.slowest = value.slowest
    else replica.calls.push(value)
  })
  return replica
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0)

/** The most of any stretch of one window: of calls that were surely admitted within it, the part that they did use. */
const mostWithin = (calls: readonly CallLine[], amount: (call: CallLine) => number): number => {
  const bySent = [...calls].sort((a, b) => a[0] - b[0])
  return Math.max(
    0,
    ...bySent.map(([from], i) => sum(bySent.slice(i).map((call) => (call[1] < from + WINDOW_MS ? amount(call) : 0)))),
  )
}

const requests = (): number => 1
/** What a call used above its estimate is the one thing that may exceed a limit. */
const tokens = ([, , estimate, used]: CallLine): number => Math.min(estimate, used)

test.skipIf(redisServer === null)(
  'four replicas of two workers; one is killed, Redis frozen for 5 s, then killed and started empty',
  { timeout: 60_000 },
  async () => {
    const redis = await TestRedis.start()
    const config = redisConfig(redis.url, { replicas: REPLICAS, leaseMs: 3000 })
    const rules = [
      sliding('requests', REQUESTS, WINDOW_MS),
      sliding('tokens', TOKENS, WINDOW_MS),
      yearly('usd', BUDGET_TOKENS / 1000),
    ]
    const argument = JSON.stringify({ config, limits: [limitOf(rules)] })
    const replicas = Array.from({ length: REPLICAS }, () => startReplica(argument))
    const calls = (): CallLine[] => replicas.flatMap((replica) => replica.calls)
    try {
      await until(() => replicas.every((replica) => replica.calls.length > 3))
      const warm = Date.now()
      await pause(3000)
      replicas[0]!.kill()
      await pause(1000)
      const frozenAt = Date.now()
      redis.freeze()
      await pause(5000)
      redis.thaw()
      const thawedAt = Date.now()
      await pause(2500)
      const steadyAt = Date.now() - 500
      await pause(1500)
      const killedAt = Date.now()
      await redis.kill()
      await pause(500)
      await redis.start()
      await pause(5000)
      await Promise.all(replicas.slice(1).map((replica) => replica.finish()))

      const counter = toRules(rules, limitOf(rules)).map(
        (rule) => new Counter(rule, [{ kind: 'key', value: 'k1' }], 'acme'),
      )
      const watcher = instanceOf(config, [])
      await until(() => watcher.ledger.up)
      const budget = (await watcher.ledger.peek([{ id: counter[2]!.id, tag: counter[2]!.tag, windowMs: 0 }]))![0]!
      await watcher.ledger.close()

      const all = calls().filter(([sent]) => sent >= warm)
      const before = all.filter(([, at]) => at < frozenAt)
      const away = all.filter(([sent, at]) => sent >= frozenAt && at < thawedAt)
      const between = all.filter(([sent, at]) => sent >= steadyAt && at < killedAt)
      const dead = sum(replicas[0]!.calls.map(([, , , used]) => used))
      const living = sum(replicas.slice(1).flatMap((replica) => replica.calls.map(([, , , used]) => used)))
      const over = sum(calls().map(([, , estimate, used]) => Math.max(0, used - estimate)))
      const alone = sum(calls().map(([, , , used, byItself]) => (byItself === 1 ? used : 0)))
      const slowest = Math.max(...replicas.map((replica) => replica.slowest))
      const figures = {
        calls: calls().length,
        requestsInOneWindow: {
          limit: REQUESTS,
          steady: mostWithin(before, requests),
          frozen: mostWithin(away, requests),
          again: mostWithin(between, requests),
          ever: mostWithin(all, requests),
        },
        tokensInOneWindow: {
          limit: TOKENS,
          steady: mostWithin(before, tokens),
          frozen: mostWithin(away, tokens),
          again: mostWithin(between, tokens),
          ever: mostWithin(all, tokens),
        },
        budget: {
          limit: BUDGET_TOKENS,
          used: dead + living,
          ofTheDead: dead,
          withoutRedis: alone,
          aboveEstimates: over,
          inRedis: budget.used / 1e6,
        },
        slowestAdmission: Math.round(slowest),
      }
      process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`)

      // While Redis answers: exact. While it is away: never more than the parts of all replicas together.
      for (const phase of [before, away, between]) {
        expect(mostWithin(phase, requests)).toBeLessThanOrEqual(REQUESTS)
        expect(mostWithin(phase, tokens)).toBeLessThanOrEqual(TOKENS)
      }
      // And the limits were worth something: they were nearly reached.
      expect(mostWithin(before, requests) > REQUESTS * 0.8 || mostWithin(before, tokens) > TOKENS * 0.8).toBe(true)
      expect(away.length).toBeGreaterThan(20)
      // Where the two meet, one limit of each at most.
      expect(mostWithin(all, requests)).toBeLessThanOrEqual(2 * REQUESTS)
      expect(mostWithin(all, tokens)).toBeLessThanOrEqual(2 * TOKENS)
      expect(dead + living).toBeLessThanOrEqual(BUDGET_TOKENS + over + alone + dead)
      // Redis was empty, and knows again all that the living have settled, to the last token; nothing is held any more.
      expect(budget.used).toBe(living * 1e6)
      expect(budget.reserved).toBe(0)
      expect(slowest).toBeLessThan(1000)
    } finally {
      for (const replica of replicas) replica.kill()
      redis.thaw()
      await redis.stop()
    }
  },
)
