import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import type { UsageRecord } from '../../src/contracts/usage.ts'
import { systemClock } from '../../src/core/clock.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { fetchSmall } from '../../src/core/http-client.ts'
import { NO_USAGE } from '../../src/protocol/usage.ts'
import { RedisStore } from '../../src/store/redis.ts'
import { FileSink } from '../../src/usage/file-sink.ts'
import { OtlpSink } from '../../src/usage/otlp-sink.ts'
import { createRecorder } from '../../src/usage/recorder.ts'
import { RedisSink } from '../../src/usage/redis-sink.ts'
import { streamStore } from '../../src/usage/redis-stream.ts'
import { redisServer, TestRedis } from '../support/redis.ts'
import { redisConfig } from './ledger-kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'heddle-records-'))
afterAll(() => rmSync(folder, { recursive: true }))

const record = (requestId: string): UsageRecord => ({
  time: 1_795_354_701_000,
  durationMs: 12,
  requestId,
  traceId: '',
  tenant: 'acme',
  team: '',
  user: '',
  keyId: 'k1',
  peer: '',
  namespace: '',
  serviceAccount: '',
  trustDomain: '',
  model: 'fast',
  route: 'fast',
  provider: 'openai',
  target: 'openai/gpt-5',
  modelAnswered: 'gpt-5',
  operation: 'chat',
  stream: false,
  status: 200,
  outcome: 'ok',
  usage: { ...NO_USAGE, inputTokens: 3, outputTokens: 4 },
  charge: { nanoUsd: 7, estimated: false, priced: true },
  cached: false,
  attempts: [],
  wouldRefuse: [],
  labels: {},
})

const linesOf = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1)
const NOTHING = { file: null, otlp: null, redis: null }
const parts = { clock: systemClock, version: '0.0.0', store: null }

describe('a file', () => {
  test('gets a line a record, readable by its owner alone', async () => {
    const path = join(folder, 'plain.jsonl')
    const recorder = createRecorder({ ...NOTHING, file: { path, rotateBytes: 0 } }, parts)
    for (let i = 0; i < 5; i++) recorder.write(record(`r${i}`))
    await recorder.flush()
    expect(linesOf(path).map((line) => (JSON.parse(line) as { request_id: string }).request_id)).toEqual([
      'r0',
      'r1',
      'r2',
      'r3',
      'r4',
    ])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await recorder.close()
    expect(recorder.dropped).toBe(0)
  })

  test('is rotated by size while several write, and no line is lost, torn or doubled', async () => {
    const path = join(folder, 'shared.jsonl')
    const options = { path, rotateBytes: 20_000, clock: systemClock }
    const sinks = [new FileSink(options), new FileSink(options), new FileSink(options)]
    for (let round = 0; round < 40; round++) {
      for (const [s, sink] of sinks.entries())
        for (let i = 0; i < 25; i++) sink.write(JSON.stringify({ id: `${s}-${round}-${i}`, pad: 'x'.repeat(60) }))
      await Promise.all(sinks.map((sink) => sink.flush()))
    }
    await Promise.all(sinks.map((sink) => sink.close()))
    const files = readdirSync(folder).filter((name) => name.startsWith('shared.jsonl'))
    expect(files).not.toContain('shared.jsonl.lock')
    expect(files.length).toBeGreaterThan(5)
    // About 270 kB: only files that were full were rotated.
    expect(files.length).toBeLessThan(20)
    const ids = files.flatMap((name) =>
      linesOf(join(folder, name)).map((line) => (JSON.parse(line) as { id: string }).id),
    )
    expect(ids).toHaveLength(3000)
    expect(new Set(ids).size).toBe(3000)
    expect(sinks.map((sink) => sink.dropped)).toEqual([0, 0, 0])
  })

  test('that a tool moved away is begun anew', async () => {
    const path = join(folder, 'moved.jsonl')
    const sink = new FileSink({ path, rotateBytes: 0, clock: systemClock })
    sink.write('1')
    await sink.flush()
    renameSync(path, `${path}.old`)
    sink.write('2')
    await sink.close()
    expect([linesOf(`${path}.old`), linesOf(path)]).toEqual([['1'], ['2']])
  })

  test('on a full disk drops, counts, and goes on', async () => {
    const sink = new FileSink({ path: '/dev/full', rotateBytes: 0, clock: systemClock })
    sink.write('1')
    sink.write('2')
    await sink.flush()
    expect(sink.dropped).toBe(2)
    sink.write('3')
    await sink.close()
    expect(sink.dropped).toBe(3)
  })

  test('that cannot be opened is a fault at start', () => {
    const path = join(folder, 'no/such/folder.jsonl')
    try {
      createRecorder({ ...NOTHING, file: { path, rotateBytes: 0 } }, parts)
      expect.unreachable()
    } catch (error) {
      expect(GatewayError.is(error) && error.code).toBe('config_invalid')
      expect(GatewayError.is(error) && error.detail).toContain('ENOENT')
    }
  })
})

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly ids: readonly string[]
}

interface Batch {
  readonly resourceLogs: {
    readonly scopeLogs: {
      readonly logRecords: {
        readonly attributes: { readonly key: string; readonly value: { stringValue: string } }[]
      }[]
    }[]
  }[]
}

const idsIn = (body: string): readonly string[] =>
  (JSON.parse(body) as Batch).resourceLogs[0]!.scopeLogs[0]!.logRecords.map(
    (log) => log.attributes.find(({ key }) => key === 'heddle.request_id')!.value.stringValue,
  )

describe('a collector', () => {
  const open: Server[] = []
  afterEach(() => {
    for (const server of open.splice(0)) server.close()
  })

  /** Answers in turn with these, the last one for ever. */
  const collector = async (...answers: readonly (readonly [status: number, body: string])[]) => {
    const received: Received[] = []
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        const [status, text] = answers[Math.min(received.length, answers.length - 1)]!
        received.push({ headers: request.headers, ids: idsIn(body) })
        response.writeHead(status, { 'content-type': 'application/json' }).end(text)
      })
    })
    open.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/logs`
    const waits: number[] = []
    const sleep = async (ms: number): Promise<void> => void waits.push(ms)
    const sink = new OtlpSink({ url, headers: { 'api-key': 's' }, version: '1', fetch: fetchSmall, sleep })
    return { received, sink, waits }
  }

  test('gets records in batches, as JSON, with the configured headers', async () => {
    const { received, sink } = await collector([200, '{}'])
    for (let i = 0; i < 700; i++) sink.write(record(`r${i}`))
    await sink.close()
    expect(received.map(({ ids }) => ids.length)).toEqual([512, 188])
    expect(received[0]!.headers).toMatchObject({ 'api-key': 's', 'content-type': 'application/json' })
    expect(received.flatMap(({ ids }) => ids)).toEqual(Array.from({ length: 700 }, (_, i) => `r${i}`))
    expect(sink.dropped).toBe(0)
  })

  test('that is busy is asked again, later and later; the records arrive once', async () => {
    const { received, sink, waits } = await collector([503, ''], [429, ''], [200, ''])
    sink.write(record('a'))
    await sink.flush()
    expect(received).toHaveLength(3)
    expect(waits).toEqual([500, 1000])
    expect(sink.dropped).toBe(0)
    await sink.close()
  })

  test('that refuses is not asked again: the batch is dropped and counted', async () => {
    const { received, sink } = await collector([400, ''])
    sink.write(record('a'))
    sink.write(record('b'))
    await sink.flush()
    expect(received).toHaveLength(1)
    expect(sink.dropped).toBe(2)
    await sink.close()
  })

  test('that stays away gets five tries, one at the end of the process', async () => {
    const { received, sink } = await collector([503, ''])
    sink.write(record('a'))
    await sink.flush()
    expect(received).toHaveLength(5)
    sink.write(record('b'))
    await sink.close()
    expect(received).toHaveLength(6)
    expect(sink.dropped).toBe(2)
  })

  test('that takes a part says so', async () => {
    const { sink } = await collector([200, '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}'])
    for (const id of ['a', 'b', 'c']) sink.write(record(id))
    await sink.close()
    expect(sink.dropped).toBe(2)
  })

  test('that hangs does not fill the memory', async () => {
    let finish = (): void => {}
    const hung = new Promise<never>((_, reject) => {
      finish = () => reject(new Error('gone'))
    })
    const sink = new OtlpSink({ url: 'http://x/', headers: {}, version: '1', fetch: () => hung, sleep: async () => {} })
    for (let i = 0; i < 12_000; i++) sink.write(record('r'))
    expect(sink.dropped).toBe(12_000 - 10_000 - 512)
    const closed = sink.close()
    finish()
    await closed
    expect(sink.dropped).toBe(12_000)
  })
})

describe('a Redis stream', () => {
  const redis = { stream: 's', maxLength: 10 }

  test('gets the line, bounded in length', async () => {
    const calls: unknown[][] = []
    const store = { xadd: async (...args: unknown[]) => calls.push(args) }
    const recorder = createRecorder({ ...NOTHING, redis }, { ...parts, store })
    recorder.write(record('a'))
    await recorder.flush()
    expect(calls).toHaveLength(1)
    expect(calls[0]!.slice(0, 3)).toEqual(['s', 10, 'record'])
    expect(JSON.parse(calls[0]![3] as string)).toMatchObject({ request_id: 'a', cost_usd: '0.000000007' })
    expect(recorder.dropped).toBe(0)
  })

  test('that is away for a while gets all lines later, and no more than fit are kept', async () => {
    const got: string[] = []
    let away = true
    const waits: (() => void)[] = []
    const sink = new RedisSink({
      ...redis,
      store: { xadd: async (...args) => (away ? Promise.reject(new Error('away')) : got.push(args[3])) },
      sleep: () => new Promise((resolve) => void waits.push(resolve)),
    })
    for (let i = 0; i < 11_000; i++) sink.write(`line ${i}`)
    await vi.waitFor(() => expect(waits).toHaveLength(1))
    const lost = sink.dropped
    expect(lost).toBeGreaterThan(0)
    away = false
    waits[0]!()
    await sink.flush()
    expect(sink.dropped).toBe(lost)
    expect(got).toHaveLength(11_000 - lost)
    expect(got.slice(0, 2)).toEqual(['line 0', 'line 1'])
  })

  test('that is away at the end of the process is given up, and counted', async () => {
    const store = { xadd: () => Promise.reject(new Error('away')) }
    const sink = new RedisSink({ ...redis, store, sleep: async () => {} })
    const ended = sink.flush()
    sink.write('1')
    await sink.flush()
    await ended
    expect(sink.dropped).toBe(1)
  })

  test.skipIf(redisServer === null)('in a real Redis', async () => {
    const server = await TestRedis.start()
    const store = new RedisStore({ config: redisConfig(server.url, { deadlineMs: 2000 }) })
    try {
      await vi.waitFor(() => expect(store.up).toBe(true), 5000)
      const recorder = createRecorder(
        { ...NOTHING, redis: { stream: 'usage', maxLength: 100 } },
        { ...parts, store: streamStore(store, 'heddle:') },
      )
      for (let i = 0; i < 500; i++) recorder.write(record(`r${i}`))
      await recorder.flush()
      expect(recorder.dropped).toBe(0)
      // MAXLEN ~ cuts whole nodes of the stream: about so many stay.
      const length = Number((await server.ask('XLEN', 'heddle:usage')).replace(':', ''))
      expect(length).toBeGreaterThanOrEqual(100)
      expect(length).toBeLessThan(400)
      const last = await server.ask('XREVRANGE', 'heddle:usage', '+', '-', 'COUNT', '1')
      expect(last).toContain('record')
      expect(last).toContain('r499')
    } finally {
      store.close()
      await server.stop()
    }
  })

  test('that nobody handed in is a fault at start, not records that go nowhere', () => {
    expect(() => createRecorder({ ...NOTHING, redis }, parts)).toThrow('no Redis')
  })
})
