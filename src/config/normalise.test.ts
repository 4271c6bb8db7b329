import fc from 'fast-check'
import { expect, test } from 'vitest'
import type {
  Capabilities,
  HeddleConfig,
  ModelConfig,
  ProviderConfig,
  RouteDefaults,
  TargetConfig,
} from '../contracts/config.ts'
import { ConfigError, loadConfigText } from './index.ts'
import type { LoadOptions } from './index.ts'
import { formatDuration, formatSize } from './units.ts'

const options: LoadOptions = {
  presets: [],
  env: { SET: 'value' },
  readFile: () => {
    throw new Error('no files here')
  },
}

// ── The inverse of normalising: the long form of a configuration, as a person could have written it ──

const escape = (text: string): string => text.replaceAll('${', () => '$${')

const clean = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null))

const capabilitiesOut = (c: Capabilities) =>
  clean({
    tools: c.tools,
    vision: c.vision,
    audio: c.audio,
    json_schema: c.jsonSchema,
    streaming: c.streaming,
    context_window: c.contextWindow,
    max_output_tokens: c.maxOutputTokens,
  })

const routeOut = ({ timeouts, retries, breaker, commit, hedge, continuation, unsupported }: RouteDefaults) => ({
  timeouts: {
    connect: formatDuration(timeouts.connectMs),
    first_token: formatDuration(timeouts.firstTokenMs),
    idle: formatDuration(timeouts.idleMs),
    attempt: formatDuration(timeouts.attemptMs),
    total: formatDuration(timeouts.totalMs),
  },
  retries: {
    max_attempts: retries.maxAttempts,
    per_target: retries.perTarget,
    statuses: retries.statuses,
    backoff: { base: formatDuration(retries.backoff.baseMs), max: formatDuration(retries.backoff.maxMs) },
    max_retry_after: formatDuration(retries.maxRetryAfterMs),
    budget: { ratio: retries.budget.ratio, min_per_second: retries.budget.minPerSecond },
  },
  breaker: {
    enabled: breaker.enabled,
    consecutive_failures: breaker.consecutiveFailures,
    failure_ratio: breaker.failureRatio,
    min_requests: breaker.minRequests,
    window: formatDuration(breaker.windowMs),
    base_ejection: formatDuration(breaker.baseEjectionMs),
    max_ejection: formatDuration(breaker.maxEjectionMs),
    max_ejected_share: breaker.maxEjectedShare,
    dead_key: formatDuration(breaker.deadKeyMs),
  },
  commit: { max_bytes: formatSize(commit.maxBytes), max_wait: formatDuration(commit.maxMs) },
  hedge: hedge && {
    after: hedge.afterMs === 'auto' ? 'auto' : formatDuration(hedge.afterMs),
    max_share: hedge.maxShare,
    max_cost_per_minute: hedge.maxCostPerMinute,
  },
  continuation,
  unsupported,
})

const providerOut = (p: ProviderConfig) => ({
  ...clean({ type: p.type, base_url: p.baseUrl, auth: p.auth, api_key: p.apiKey === null ? null : escape(p.apiKey) }),
  headers: Object.fromEntries(Object.entries(p.headers).map(([name, value]) => [name, escape(value)])),
  query: p.query,
  operations: p.operations,
  wire: p.wire ?? 'none',
  model_patterns: p.modelPatterns,
  stream_usage: p.streamUsage,
  stream_end: p.streamEnd,
  max_connections: p.maxConnections,
  tls: { ...clean({ ca: p.tls.ca, server_name: p.tls.serverName }), verify: p.tls.rejectUnauthorized },
  capabilities: capabilitiesOut(p.capabilities),
})

const targetOut = (t: TargetConfig) => ({
  ...clean({ provider: t.provider, model: t.model, when: t.when, canary: t.canary, shadow: t.shadow }),
  weight: t.weight,
  priority: t.priority,
  capabilities: capabilitiesOut(t.capabilities),
  ...(t.price === null
    ? {}
    : { price: clean({ input: t.price.input, output: t.price.output, cached_input: t.price.cachedInput }) }),
})

const modelOut = (m: ModelConfig) => ({
  ...clean({ aliases: m.aliases, strategy: m.strategy, sticky: m.sticky?.by }),
  targets: m.targets.map(targetOut),
  fallbacks: {
    any: m.fallbacks.any,
    context_window: m.fallbacks.contextWindow,
    content_policy: m.fallbacks.contentPolicy,
  },
  ...routeOut(m),
})

const serverOut = ({ server: s }: HeddleConfig) => ({
  host: s.host,
  port: s.port,
  admin_host: s.adminHost,
  admin_port: s.adminPort,
  workers: s.workers,
  insecure: s.insecure,
  limits: {
    body: formatSize(s.limits.body),
    decompressed_body: formatSize(s.limits.decompressedBody),
    header_bytes: formatSize(s.limits.headerBytes),
    header_count: s.limits.headerCount,
    header_timeout: formatDuration(s.limits.headerTimeoutMs),
    body_timeout: formatDuration(s.limits.bodyTimeoutMs),
    client_stall: formatDuration(s.limits.clientStallMs),
    json_depth: s.limits.jsonDepth,
    json_keys: s.limits.jsonKeys,
    response_body: formatSize(s.limits.responseBody),
    sse_event: formatSize(s.limits.sseEvent),
  },
  shed: {
    max_inflight: s.shed.maxInflight,
    max_loop_delay: formatDuration(s.shed.maxLoopDelayMs),
  },
  drain: {
    propagation: orAuto(s.drain.propagationMs),
    max: formatDuration(s.drain.maxMs),
  },
  heartbeat: formatDuration(s.heartbeatMs),
  keep_alive: orAuto(s.keepAliveMs),
  server_timing: s.serverTiming,
  log: s.log,
})

const orAuto = (ms: number | 'auto'): string => (ms === 'auto' ? ms : formatDuration(ms))

const longForm = (config: HeddleConfig): string =>
  JSON.stringify({
    server: serverOut(config),
    defaults: routeOut(config.defaults),
    providers: Object.fromEntries(config.providers.map((provider) => [provider.name, providerOut(provider)])),
    models: Object.fromEntries(config.models.map((model) => [model.name, modelOut(model)])),
  })

// ── Generated configurations, in the short forms and with most fields left out ──

const duration = fc.oneof(
  fc.constant(0),
  fc.tuple(fc.integer({ min: 1, max: 500 }), fc.constantFrom('ms', 's')).map(([n, unit]) => `${n}${unit}`),
)
const share = fc.oneof(
  fc.double({ min: 0, max: 0.3, noNaN: true }),
  fc.integer({ min: 0, max: 30 }).map((n) => `${n}%`),
)
const some = <T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(shape, { requiredKeys: [] })
const positive = fc.integer({ min: 1, max: 20 })

const route = {
  timeouts: some({ connect: duration, idle: duration, attempt: duration }),
  retries: some({
    max_attempts: positive,
    statuses: fc.array(fc.integer({ min: 400, max: 599 }), { maxLength: 4 }),
    budget: some({ ratio: share, min_per_second: fc.nat(50) }),
  }),
  breaker: some({ enabled: fc.boolean(), failure_ratio: share, consecutive_failures: positive, window: duration }),
  commit: some({ max_bytes: fc.constantFrom('1KiB', '5MB', 0), max_wait: duration }),
  hedge: fc.option(some({ after: fc.oneof(fc.constant('auto'), duration), max_share: share })),
  continuation: fc.boolean(),
  unsupported: fc.constantFrom('refuse', 'drop'),
}

const capabilities = some({
  tools: fc.boolean(),
  vision: fc.boolean(),
  context_window: fc.integer({ min: 1, max: 2_000_000 }),
})

const provider = fc.tuple(
  fc.constant({ type: 'openai_compatible', base_url: 'https://backend.test/v1' }),
  some({
    api_key: fc.constantFrom('plain', '$${literal}', '${env:SET}', '${env:UNSET:-other}'),
    auth: fc.constantFrom('bearer', 'none'),
    headers: fc.dictionary(fc.constantFrom('X-A', 'b', 'c-d'), fc.constantFrom('1', 'x y'), { maxKeys: 2 }),
    operations: fc.uniqueArray(fc.constantFrom('chat', 'embeddings', 'responses'), { minLength: 1 }),
    wire: fc.constantFrom('none', 'anthropic.messages', 'openai.chat'),
    stream_usage: fc.boolean(),
    max_connections: positive,
    capabilities,
  }),
)
const providers = fc.record({
  p: provider.map(([base, more]) => ({ ...base, ...more })),
  q: fc.constantFrom({ type: 'sim' }, { type: 'openai_compatible', base_url: 'https://q.test' }),
})

const target = fc.oneof(
  fc.constantFrom('p', 'q/model', 'p/org/model:tag'),
  fc
    .tuple(
      fc.constantFrom('p', 'q'),
      some({
        model: fc.constantFrom('m', 'org/m'),
        weight: fc.integer({ min: 1, max: 9 }),
        priority: fc.nat(5),
        when: fc.constantFrom('stream', 'has(request.tools)', 'headers["a"] == "b"'),
        price: fc.record({ input: fc.nat(9), output: fc.nat(9) }),
        capabilities,
      }),
    )
    .map(([name, more]) => ({ provider: name, ...more })),
)

const model = fc.oneof(
  fc.constantFrom('p', 'q/x'),
  fc.array(target, { minLength: 1, maxLength: 3 }),
  fc
    .tuple(
      fc.array(target, { minLength: 1, maxLength: 3 }),
      some({
        strategy: fc.constantFrom('priority', 'weighted', 'least_busy', 'lowest_latency', 'lowest_cost'),
        sticky: fc.constantFrom('user', 'prefix', 'header:X-Id', 'metadata:team'),
        fallbacks: fc.constantFrom(['base'], { context_window: ['base'] }),
        ...route,
      }),
    )
    .map(([targets, more]) => ({ targets, ...more })),
)

const configs = fc.record(
  {
    server: some({
      port: fc.nat(65_535),
      workers: fc.oneof(fc.constant('auto'), positive),
      drain: some({ max: duration }),
    }),
    defaults: some(route),
    providers,
    models: fc
      .dictionary(fc.constantFrom('a', 'b.c', 'claude-*', 'org/x'), model, { maxKeys: 3 })
      .map((all) => ({ ...all, base: 'p/base' })),
  },
  { requiredKeys: ['providers'] },
)

const load = (text: string): HeddleConfig => loadConfigText(text, options).config

test('normalising is total, and its result written out in full means the same', () => {
  fc.assert(
    fc.property(configs, (input) => {
      const once = load(JSON.stringify(input))
      const twice = load(longForm(once))
      expect(twice).toEqual(once)
    }),
    { numRuns: 100 },
  )
})

// ── Mutated files ──

const SEED = `server:
  port: "\${env:PORT:-8080}"
  limits: { body: 1MiB }
providers:
  p: &p { type: openai_compatible, base_url: https://x.test/v1, api_key: \${env:SET} }
  q: { <<: *p, base_url: http://y.test }
models:
  a: [p/x, q]
  "b-*":
    targets:
      - { provider: p, model: "*", when: 'headers["a"] == "b"' }
    timeouts: { idle: 5s }
    fallbacks: [a]
`

const snippets = [
  '{',
  '}',
  '[',
  ']',
  ':',
  ' ',
  '\n',
  '\t',
  '-',
  '*p',
  '&a',
  '<<: *p',
  '"',
  "'",
  '|',
  '#',
  '$',
  '${',
  '${env:',
  '!!binary ',
  '? ',
  '---\n',
  '\u0000',
  '\uFEFF',
  '~',
  '9e99',
  '__proto__: 1\n',
]

const mutation = fc.record({
  at: fc.nat(SEED.length),
  cut: fc.nat(12),
  put: fc.oneof(fc.constantFrom(...snippets), fc.string({ maxLength: 6 })),
})

test('a mutated file is either loaded or refused with a ConfigError that names places', () => {
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (mutations) => {
      const text = mutations.reduce((all, { at, cut, put }) => all.slice(0, at) + put + all.slice(at + cut), SEED)
      try {
        load(text)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        expect(error.problems.length).toBeGreaterThan(0)
        for (const { file, line, column, message } of error.problems) {
          expect(file).toBe('heddle.yaml')
          expect(Number.isInteger(line) && line >= 0 && column >= 0).toBe(true)
          expect(message).not.toBe('')
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('any YAML-shaped data is either loaded or refused', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (server) => {
      try {
        load(JSON.stringify({ server, models: server, providers: server, defaults: server }))
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError)
      }
    }),
    { numRuns: 300 },
  )
})
