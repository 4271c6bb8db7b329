/**
 * What policies add to a request, inside one process: no sockets of clients or backends, so that what neighbours on the
 * machine do shows less. `node bench/inprocess.ts REDIS_PORT` prints microseconds of CPU a request by variant, as JSON;
 * REDIS_PORT 0 = without Redis.
 */
import { loadConfigText } from '../src/config/index.ts'
import type { HeaderList, Received, ReplyWriter } from '../src/contracts/http.ts'
import type { Upstream, UpstreamSink } from '../src/contracts/upstream.ts'
import { systemClock, systemRandom } from '../src/core/clock.ts'
import { TimerWheel } from '../src/core/wheel.ts'
import { Exchange } from '../src/pipeline/exchange.ts'
import type { Services } from '../src/pipeline/services.ts'
import { RequestTelemetry } from '../src/pipeline/telemetry.ts'
import { PRESETS } from '../src/providers/index.ts'
import { HealthTable } from '../src/routing/health.ts'
import { NO_SIGNALS } from '../src/protocol/signals.ts'
import { compileSnapshot, slotKeys } from '../src/server/compile.ts'
import { PolicyKit } from '../src/server/policies.ts'
import { SharedState } from '../src/server/shared.ts'
import { MetricRegistry } from '../src/telemetry/metrics.ts'
import { identityOnly, identityRequest } from './identity.ts'
import { JWT, jwtOnly, KEY, keyAndLimits, redisLimits } from './policies.ts'

const CONFIG = `
server: { log: { level: silent } }
providers: { mock: { type: openai_compatible, base_url: http://127.0.0.1:9/v1, api_key: sk-upstream, operations: [chat] } }
models: { gpt-4o-mini: mock/gpt-4o-mini }
`
const BODY = Buffer.from(
  JSON.stringify({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'The shuttle carries the weft. '.repeat(7) }],
    temperature: 0.2,
  }),
)
const ANSWER = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'gpt-4o-mini',
    choices: [{ index: 0, message: { role: 'assistant', content: 'y'.repeat(400) }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 50, completion_tokens: 100, total_tokens: 150 },
  }),
)
const ANSWER_HEAD = { 'content-type': 'application/json', 'content-length': String(ANSWER.length) }
const REQUESTS = 20_000
const AT_A_TIME = 64
const WARM = 4
const ROUNDS = 10

const upstream: Upstream = {
  call(_request, sink: UpstreamSink) {
    sink.onHead(200, ANSWER_HEAD)
    sink.onData(ANSWER)
    sink.onEnd()
    return { abort() {}, pause() {}, resume() {} }
  },
  async close() {},
}

/** Sends one request; done is called with the status of its answer. */
type Run = (done: (status: number) => void) => void

/** proxied: as a sidecar sends it, read as the listener does. */
const variant = async (policies: string, token: string, proxied = false): Promise<Run> => {
  const { config } = loadConfigText(CONFIG + policies, { presets: PRESETS })
  const metrics = new MetricRegistry()
  const wheel = new TimerWheel()
  const log = (): void => {}
  const shared = await new SharedState({ workers: 1, targets: 16, log }).prepare(config)
  const slots = Object.fromEntries(slotKeys(config).map((key, i) => [key, i]))
  const place = { worker: 0, workers: 1 }
  const kit = new PolicyKit({
    place,
    clock: systemClock,
    metrics,
    log,
    version: 'bench',
    wheel,
    telemetry: null,
    blobs: null,
    inflight() {},
    services: () => services,
  })
  const snapshot = compileSnapshot(config, {
    pool: { acquire: () => ({ value: upstream, release() {} }) } as never,
    health: new HealthTable(16),
    slots,
    simUrl: null,
    now: Date.now(),
    version: 'bench',
    policies: await kit.compile({ config, slots, shared }),
  })
  const services: Services = {
    clock: systemClock,
    random: systemRandom,
    wheel,
    telemetry: new RequestTelemetry(metrics, null, () => systemClock.now()),
    limits: config.server.limits,
    loop: { draining: false },
    current: () => snapshot,
    log,
  }
  const head: Readonly<Record<string, string>> = {
    'content-type': 'application/json',
    authorization: `Bearer ${token}`,
    'user-agent': 'OpenAI/JS 7.57.0',
  }
  return (done) => {
    const plain: Received = {
      method: 'POST',
      path: '/v1/chat/completions',
      query: '',
      body: BODY,
      peer: '127.0.0.1',
      peerIdentity: null,
      identity: null,
      startedAt: systemClock.monotonic(),
      header: (name) => head[name],
      identityHeader: (name) => head[name],
      headers: () => head,
      releaseBody() {},
      signals: NO_SIGNALS,
    }
    const received = proxied ? identityRequest(BODY, systemClock.monotonic()) : plain
    const writer: ReplyWriter = {
      open: true,
      send: (status: number, _headers: HeaderList) => done(status),
      head() {},
      flush() {},
      write: () => true,
      end() {},
      destroy() {},
    }
    new Exchange(services, received, writer).begin()
  }
}

/** Microseconds of CPU a request, so many at a time. Rejects when one is not answered with 200. */
const measure = (run: Run): Promise<number> =>
  new Promise((resolve, reject) => {
    const before = process.cpuUsage()
    let left = REQUESTS
    let open = 0
    let starting = false
    // As a server does: with what has come meanwhile, once a turn; a turn without anything to do would be counted too.
    const onDone = (status: number): void => {
      open--
      if (status !== 200) reject(new Error(`answered ${status}`))
      if (starting) return
      starting = true
      setImmediate(go)
    }
    const go = (): void => {
      starting = true
      while (open < AT_A_TIME && left > 0) {
        left--
        open++
        run(onDone)
      }
      starting = false
      if (left > 0 || open > 0) return
      const { user, system } = process.cpuUsage(before)
      resolve((user + system) / REQUESTS)
    }
    go()
  })

const redis = Number(process.argv[2] ?? 0)
const runs: Record<string, Run> = {
  plain: await variant('', KEY),
  key: await variant(keyAndLimits, KEY),
  jwt: await variant(jwtOnly, JWT),
  header: await variant('', KEY, true),
  xfcc: await variant(identityOnly, KEY, true),
  ...(redis === 0 ? {} : { redis: await variant(redisLimits(redis), KEY) }),
}
const results: Record<string, number[]> = {}
// In turn, round by round: the machine's speed changes within seconds.
for (let round = 0; round < WARM + ROUNDS; round++) {
  for (const [name, run] of Object.entries(runs)) {
    // The first of a token, and of a connection, is not what is measured.
    if (round === 0) await new Promise<void>((resolve) => run(() => resolve()))
    const micros = await measure(run)
    if (round >= WARM) (results[name] ??= []).push(micros)
  }
}
process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0))
