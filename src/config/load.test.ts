import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ModelFacts, ProviderPreset } from '../contracts/config.ts'
import { GatewayError } from '../core/errors.ts'
import { ConfigError, formatProblem, loadConfig, loadConfigText, maskedConfig } from './index.ts'
import type { LoadOptions } from './index.ts'

const preset = (name: string, more: Partial<ProviderPreset> = {}): ProviderPreset => ({
  name,
  title: name,
  keyEnv: [`${name.toUpperCase()}_API_KEY`],
  keyRequired: true,
  urlEnv: null,
  basePath: '/v1',
  baseUrl: `https://${name}.test/v1`,
  auth: 'bearer',
  query: {},
  operations: ['chat'],
  modelPatterns: [`${name}-*`],
  streamUsage: true,
  streamEnd: 'done',
  notes: '',
  ...more,
})

const FACTS: ModelFacts = { capabilities: { tools: true, contextWindow: 1000 }, price: { input: 1, output: 2 } }
const options = {
  presets: [
    preset('alpha'),
    preset('beta', { keyEnv: ['BETA_KEY', 'BETA_TOKEN'] }),
    preset('local', { keyEnv: [], keyRequired: false, urlEnv: 'LOCAL_HOST', baseUrl: 'http://127.0.0.1:11434/v1' }),
    preset('remote', { keyEnv: ['REMOTE_KEY'], urlEnv: 'REMOTE_URL', baseUrl: null, basePath: '/openai/v1' }),
  ],
  facts: (type, model) => (type === 'alpha' && model === 'known' ? FACTS : undefined),
  env: { ALPHA_API_KEY: 'sk-alpha-secret', PORT: '8123', FLAG: 'true', DIGITS: '12345' },
  readFile: () => 'file-secret\n',
} satisfies LoadOptions

const load = (text: string, more: Partial<LoadOptions> = {}) => loadConfigText(text, { ...options, ...more }).config

const problems = (text: string, more: Partial<LoadOptions> = {}): readonly string[] => {
  try {
    load(text, more)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(formatProblem)
    throw error
  }
  return []
}

const ALPHA = 'providers:\n  alpha:\n'

test('an empty file has every default, and the providers of the environment', () => {
  const config = load('')
  expect(config.providers.map(({ name }) => name)).toEqual(['alpha'])
  expect(config.models).toEqual([])
  expect(config.zeroConfig).toBe(false)
  expect(config.server).toMatchObject({ host: '127.0.0.1', port: 8080, adminPort: 8081, insecure: false })
  expect(config.server.limits).toMatchObject({ body: 33_554_432, jsonDepth: 64, headerTimeoutMs: 5000 })
  expect(config.defaults).toEqual({
    timeouts: { connectMs: 5000, firstTokenMs: 60_000, idleMs: 60_000, attemptMs: 600_000, totalMs: 900_000 },
    retries: {
      maxAttempts: 3,
      perTarget: 1,
      statuses: [408, 425, 429, 500, 502, 503, 504, 529],
      backoff: { baseMs: 100, maxMs: 5000 },
      maxRetryAfterMs: 10_000,
      budget: { ratio: 0.2, minPerSecond: 10 },
    },
    breaker: {
      enabled: true,
      consecutiveFailures: 5,
      failureRatio: 0.5,
      minRequests: 20,
      windowMs: 10_000,
      baseEjectionMs: 5000,
      maxEjectionMs: 60_000,
      maxEjectedShare: 0.5,
      deadKeyMs: 300_000,
    },
    commit: { maxBytes: 65_536, maxMs: 60_000 },
    hedge: null,
    continuation: false,
    cache: null,
    unsupported: 'refuse',
  })
})

test('without a file: presets of the environment and the simulator', () => {
  const { config } = loadConfig(null, { ...options, env: { ALPHA_API_KEY: 'a', BETA_TOKEN: 'b', LOCAL_HOST: 'box' } })
  expect(config.zeroConfig).toBe(true)
  expect(config.providers.map(({ name, apiKey, baseUrl }) => [name, apiKey, baseUrl])).toEqual([
    ['alpha', 'a', 'https://alpha.test/v1'],
    ['beta', 'b', 'https://beta.test/v1'],
    ['local', null, 'http://box:11434/v1'],
    ['sim', null, expect.any(String)],
  ])
  expect(loadConfig(null, { ...options, env: {} }).config.providers.map(({ name }) => name)).toEqual(['sim'])
})

test.each([
  ['0.0.0.0', 'http://127.0.0.1:11434/v1'],
  ['0.0.0.0:9000', 'http://127.0.0.1:9000/v1'],
  [':9000', 'http://127.0.0.1:9000/v1'],
  ['http://box', 'http://box/v1'],
  ['https://box:8443/', 'https://box:8443/v1'],
  ['https://box/api/', 'https://box/api'],
])('LOCAL_HOST=%s means %s', (value, expected) => {
  expect(load('', { env: { LOCAL_HOST: value } }).providers[0]?.baseUrl).toBe(expected)
})

test('a preset without an address of its own needs key and address from the environment', () => {
  const env = { REMOTE_KEY: 'k', REMOTE_URL: 'https://res.azure.test' }
  expect(load('', { env }).providers.map(({ baseUrl }) => baseUrl)).toEqual(['https://res.azure.test/openai/v1'])
  expect(load('', { env: { REMOTE_KEY: 'k' } }).providers).toEqual([])
  expect(problems('providers: {remote: }', { env: { REMOTE_KEY: 'k' } })).toEqual([
    'heddle.yaml:1:13 providers.remote: type `remote` needs `base_url` (or set REMOTE_URL)',
  ])
})

test('a variable that holds no key is named, not shown', () => {
  expect(problems('providers: { alpha: }', { env: { ALPHA_API_KEY: 'two words' } })).toEqual([
    'heddle.yaml:1:14 providers.alpha: environment variable ALPHA_API_KEY does not hold a key',
  ])
})

test('short forms become the long one', () => {
  const { models } = load(`${ALPHA}  second: { type: alpha }
models:
  one: alpha/known
  bare: alpha
  list: [alpha/a/b, second]
  "x-*": { targets: [alpha, second/y-*] }
  weighted: { strategy: weighted, targets: [alpha/a, { provider: second, weight: 3 }], fallbacks: [one] }`)
  const target = (provider: string, model: string | null, priority: number, weight = 1) => ({
    provider,
    model,
    weight,
    priority,
    when: null,
    capabilities: {},
    price: null,
    canary: null,
    shadow: null,
  })
  expect(models.map(({ name, targets }) => [name, targets])).toEqual([
    ['one', [{ ...target('alpha', 'known', 0), ...FACTS }]],
    ['bare', [target('alpha', 'bare', 0)]],
    ['list', [target('alpha', 'a/b', 0), target('second', 'list', 1)]],
    ['x-*', [target('alpha', null, 0), target('second', 'y-*', 1)]],
    ['weighted', [target('alpha', 'a', 0), target('second', 'weighted', 0, 3)]],
  ])
  expect(models.at(-1)?.fallbacks).toEqual({ any: ['one'], contextWindow: [], contentPolicy: [] })
})

test('a fallback may be a name, an alias, something a pattern or a provider claims, or provider/model', () => {
  const { models } = load(`${ALPHA}
models:
  a: { targets: [alpha], fallbacks: [b, bee, x-1, alpha/other/name, alpha-7] }
  b: { targets: [alpha], aliases: [bee] }
  x-*: alpha`)
  expect(models[0]?.fallbacks.any).toEqual(['b', 'bee', 'x-1', 'alpha/other/name', 'alpha-7'])
  expect(problems(`${ALPHA}models: { a: { targets: [alpha], fallbacks: [beta/x] } }`)).toHaveLength(1)
})

test('a model overrides field by field, the rest comes from defaults', () => {
  const { defaults, models } = load(`${ALPHA}
defaults: { timeouts: { idle: 7s }, hedge: { max_share: 1% } }
models:
  a: { targets: [alpha], timeouts: { connect: 1s }, retries: { budget: { ratio: 0.5 }, statuses: [500] } }
  b: { targets: [alpha], hedge: null }
  c: { targets: [alpha], hedge: { after: 2s } }`)
  const [a, b, c] = models
  expect(a?.timeouts).toEqual({ ...defaults.timeouts, connectMs: 1000, idleMs: 7000 })
  expect(a?.retries).toEqual({ ...defaults.retries, statuses: [500], budget: { ratio: 0.5, minPerSecond: 10 } })
  expect(a?.hedge).toEqual({ afterMs: 'auto', maxShare: 0.01, maxCostPerMinute: 1 })
  expect(b?.hedge).toBeNull()
  expect(c?.hedge).toEqual({ afterMs: 2000, maxShare: 0.01, maxCostPerMinute: 1 })
})

test('known facts give way to the provider’s, and these to the target’s', () => {
  const { models } = load(`providers:
  alpha: { capabilities: { vision: true, context_window: 2000 } }
models:
  a: { targets: [{ provider: alpha, model: known, capabilities: { tools: false }, price: { input: 5, output: 6, cached_input: 1 } }] }`)
  expect(models[0]?.targets[0]).toMatchObject({
    capabilities: { tools: false, vision: true, contextWindow: 2000 },
    price: { input: 5, output: 6, cachedInput: 1 },
  })
})

test('a preset’s defaults can be overridden', () => {
  const [provider] = load(`providers:
  mine:
    type: alpha
    base_url: https://proxy.test/v1/
    api_key: \${env:DIGITS}
    auth: api-key
    headers: { X-Org: "o" }
    query: { api-version: "2024" }
    operations: [chat, embeddings]
    model_patterns: []
    stream_usage: false
    stream_end: finish_reason
    max_connections: 5
    tls: { server_name: sni.test, verify: false }`).providers
  expect(provider).toEqual({
    name: 'mine',
    type: 'alpha',
    baseUrl: 'https://proxy.test/v1',
    auth: 'api-key',
    apiKey: '12345',
    headers: { 'x-org': 'o' },
    query: { 'api-version': '2024' },
    operations: ['chat', 'embeddings'],
    wire: 'openai.chat',
    paths: {},
    modelPatterns: [],
    streamUsage: false,
    streamEnd: 'finish_reason',
    maxConnections: 5,
    tls: { ca: null, serverName: 'sni.test', rejectUnauthorized: false, svid: false, peers: [] },
    capabilities: {},
    credentials: null,
    capacity: null,
    discovery: null,
    balancing: null,
    data: { region: '', retention: null },
    class: 'vendor',
    egress: { mode: 'direct-tls', proxy: null, plaintextKey: false },
    propagateTrace: false,
  })
})

test('an interpolated scalar may stand where a number or boolean is wanted, quoted or not', () => {
  const { server } = load('server: { port: "${env:PORT}", insecure: "${env:FLAG}" }')
  expect(server).toMatchObject({ port: 8123, insecure: true })
  expect(load('server:\n  port: ${env:NOPE:-9}').server.port).toBe(9)
})

test('overrides are stronger than the file, and checked like it', () => {
  expect(load('server: { port: 1 }', { overrides: { port: 2, host: '::1' } }).server).toMatchObject({
    port: 2,
    host: '::1',
  })
  expect(problems('server: { host: 127.0.0.1 }', { overrides: { host: '0.0.0.0' } })).toEqual([
    expect.stringMatching(/^command line server\.host: `0\.0\.0\.0` is reachable/),
  ])
  expect(problems('', { overrides: { port: 70_000 } })).toEqual(['command line server.port: must be at most 65535'])
  expect(problems('server: { host: 0.0.0.0, admin_host: 10.0.0.1 }', { overrides: { insecure: true } })).toEqual([])
})

test('secret files are part of what to watch', () => {
  const { files } = loadConfigText('providers:\n  alpha:\n    api_key: ${file:/run/key}', options)
  expect(files).toEqual(['/run/key'])
})

test('anchors, aliases and merge keys work; what a map says itself wins', () => {
  const { models } = load(`${ALPHA}
models:
  a: &base { targets: [alpha/x], sticky: user, strategy: weighted }
  b: { <<: *base, sticky: prefix }
  c: { sticky: header:X-Team, <<: [*base] }`)
  expect(models.map(({ sticky, strategy }) => [sticky?.by, strategy])).toEqual([
    ['user', 'weighted'],
    ['prefix', 'weighted'],
    ['header:x-team', 'weighted'],
  ])
})

test('the result is frozen, and its hash knows settings but not secrets', () => {
  const config = load(`${ALPHA}models: { a: alpha }`)
  expect(() => Object.assign(config.models[0]?.targets[0] ?? {}, { weight: 2 })).toThrow(TypeError)
  expect(config.hash).toMatch(/^[0-9a-f]{16}$/)
  expect(load(`${ALPHA}models: { a: alpha }`, { env: { ALPHA_API_KEY: 'other' } }).hash).toBe(config.hash)
  expect(load(`${ALPHA}models: { b: alpha }`).hash).not.toBe(config.hash)
})

test('replicas with the same settings have the same hash', () => {
  const pod = (name: string) =>
    load(`${ALPHA}models: { a: alpha }`, { env: { ALPHA_API_KEY: 'k', HEDDLE_POD_NAME: name } })
  expect(pod('heddle-1').tracing.resource['k8s.pod.name']).toBe('heddle-1')
  expect(pod('heddle-1').hash).toBe(pod('heddle-2').hash)
})

test('a dump holds no secret', () => {
  const config = load(
    'providers:\n  alpha:\n    headers: { x-key: hidden }\n    query: { sig: hidden, api-version: "1" }',
  )
  const text = JSON.stringify(maskedConfig(config))
  expect(text).not.toMatch(/sk-alpha-secret|hidden/)
  expect(maskedConfig(config).providers[0]).toMatchObject({ apiKey: '***', query: { sig: '***', 'api-version': '1' } })
})

test('every problem is reported, with place, path and hint', () => {
  const text = `server:
  prot: 1
  host: 0.0.0.0
providers:
  alpha:
    api_kye: x
  beta:
  gamma:
models:
  a: alhpa/x
  "g.b":
    targets:
      - { provider: alpha, wieght: 3 }
    timeouts: { idle: 5 apples }
  c: { targets: [{ provider: alpha, when: "modle == 1" }], fallbacks: [aa, c], aliases: [a] }
extra: 1`
  expect(problems(text)).toEqual([
    'heddle.yaml:2:3 server.prot: unknown key; did you mean `port`?',
    'heddle.yaml:6:5 providers.alpha.api_kye: unknown key; did you mean `api_key`?',
    'heddle.yaml:7:3 providers.beta: no key: set environment variable BETA_KEY or BETA_TOKEN, or `api_key`',
    'heddle.yaml:8:3 providers.gamma: no preset is named `gamma`; for another server set `type: openai_compatible` and `base_url`',
    'heddle.yaml:10:6 models.a: no provider is named `alhpa`; did you mean `alpha`?',
    'heddle.yaml:13:28 models."g.b".targets[0].wieght: unknown key; did you mean `weight`?',
    'heddle.yaml:14:23 models."g.b".timeouts.idle: must be a duration such as `500ms`, `30s`, `10m` or `1h`, at most `30d`',
    'heddle.yaml:15:43 models.c.targets[0].when: Unknown variable: modle (character 1 of the condition)',
    'heddle.yaml:15:72 models.c.fallbacks[0]: no model is named `aa`; did you mean `a`?',
    'heddle.yaml:15:76 models.c.fallbacks[1]: a model cannot fall back to itself',
    'heddle.yaml:15:90 models.c.aliases[0]: `a` is already the name of models.a',
    'heddle.yaml:16:1 extra: unknown key; known keys: server, defaults, providers, models, auth, tenants, limits, ledger, usage, mesh, mcp, tracing, responses, batches, cache',
  ])
})

// What is written, and a part of what is said about it.
const WRONG: readonly (readonly [string, string])[] = [
  ['server: { host: 0.0.0.0 }', 'set `server.insecure: true`'],
  ['server: { admin_host: "::" }', 'set `server.insecure: true`'],
  ['server: { port: 70000 }', 'server.port: must be at most 65535'],
  ['server: { port: "80" }', 'server.port: must be a number'],
  ['server: { workers: many }', 'must be `auto` or a number from 1 to 1024'],
  ['server: { log: { level: loud } }', 'must be `debug`, `info`, `warn`, `error`, `silent`'],
  ['server: { insecure: 1 }', 'must be `true` or `false`'],
  ['server: 4', 'server: must be a map'],
  ['providers: [alpha]', 'providers: must be a map'],
  ['providers: { alpha: 4 }', 'must be a map of settings, or empty'],
  ['providers: { x: { type: alhpa } }', '`alhpa` is not a known provider type; did you mean `alpha`?'],
  ['providers: { x: { type: openai_compatible } }', 'type `openai_compatible` needs `base_url`'],
  ['providers: { "a/b": { type: alpha } }', 'a provider’s name cannot hold `/`'],
  ['providers: { alpha: { base_url: "ftp://x" } }', 'must be an absolute http or https URL'],
  ['providers: { alpha: { base_url: "https://u:p@x" } }', 'must not hold credentials'],
  ['providers: { alpha: { base_url: "https://x?k=1" } }', 'must not hold a query'],
  ['providers: { alpha: { headers: { "a b": x } } }', 'is not an HTTP header name'],
  ['providers: { alpha: { headers: { Host: x } } }', 'is a header that Heddle sets itself'],
  ['providers: { alpha: { api_key: "a b" } }', 'holds a blank'],
  ['providers: { alpha: { api_key: "a\\nb" } }', 'holds a blank'],
  ['providers: { alpha: { model_patterns: ["*a*"] } }', 'one `*` only'],
  ['providers: { alpha: { headers: { a: "x\\ny" } } }', 'holds a character that a header cannot carry'],
  ['providers: { alpha: { headers: { A: x, a: y } } }', 'stands here twice'],
  ['providers: { alpha: { tls: { ca: "/etc/ca.pem" } } }', 'must be PEM text'],
  ['models: { a: nope/x }', 'no provider is named `nope`; known providers: alpha'],
  ['models: { a: beta/x }', 'provider `beta` is not on: add `beta:` under `providers` and set BETA_KEY'],
  ['models: { a: [] }', 'needs at least one target'],
  ['models: { a: {} }', 'models.a.targets: is missing'],
  ['models: { a: { targets: [{ model: x }] } }', 'models.a.targets[0].provider: is missing'],
  ['models: { a: 4 }', 'must be `provider/model`, a list of those, or a map with `targets`'],
  ['models: { a: "/x" }', 'must be `provider/model`'],
  ['models: { "*a*": alpha }', 'one `*` only'],
  ['models: { a: alpha/x-* }', '`*` has nothing to stand for'],
  ['models: { "a*": alpha/*x* }', 'one `*` only'],
  ['models: { a: { targets: [alpha], aliases: ["b*"] } }', 'an alias cannot hold `*`'],
  ['models: { a: { targets: [alpha], sticky: cookie } }', 'must be `user`, `prefix`, `header:NAME` or `metadata:KEY`'],
  ['models: { a: { targets: [{ provider: alpha, weight: 0 }] } }', 'every target has weight 0'],
  ['models: { a: { targets: [{ provider: alpha, weight: -1 }] } }', 'must not be negative'],
  ['models: { a: { targets: [{ provider: alpha, shadow: 5% }] } }', 'every target is a canary or a shadow'],
  ['models: { a: { targets: [alpha, { provider: alpha, shadow: 5%, canary: 5% }] } }', 'either a canary or a shadow'],
  [
    'models: { a: { targets: [alpha, { provider: alpha, canary: 60% }, { provider: alpha, canary: 0.6 }] } }',
    'add up to more than 100%',
  ],
  ['models: { a: { targets: [{ provider: alpha, canary: 120% }, alpha] } }', 'must be a share from 0 to 1'],
  ['models: { a: { targets: [alpha], timeouts: { first_token: 1h } } }', '`first_token` is longer than `total`'],
  ['models: { a: { targets: [alpha], retries: { backoff: { base: 6s } } } }', '`base` is longer than `max`'],
  ['models: { a: { targets: [alpha], breaker: { base_ejection: 2m } } }', '`base_ejection` is longer'],
  ['defaults: { timeouts: { first_token: 1h } }', '`first_token` is longer than `total`'],
  ['defaults: { retries: { statuses: [200] } }', 'must be from 400 to 599'],
  ['defaults: { hedge: { after: soon } }', 'must be `auto` or a duration'],
  ['defaults: { commit: { max_bytes: 5 } }', 'must be a size'],
  ['server: { __proto__: {} }', '`__proto__` cannot be a key'],
  ['server: { [1]: 2 }', 'a key must be a plain string'],
  ['- a', 'must be a map'],
  ['a: 1\na: 2', 'this key stands here twice'],
  ['server: {', 'YAML syntax'],
  ['server:\n\tport: 1', 'tabs cannot indent'],
  ['a: 1\n---\nb: 2', 'only one YAML document'],
  ['server: *nowhere', 'unknown anchor'],
  ['server: { port: ${env:PORT} }', 'put `"${...}"` in quotes'],
  [`server: ${'['.repeat(60)}${']'.repeat(60)}`, 'nested more than 32 deep'],
  [`server: ${'['.repeat(9000)}`, 'deep'],
  ['server: &a [*a, *a]', 'an alias inside itself'],
  [`x: ${'y'.repeat(4 * 1024 * 1024)}`, 'larger than 4 MiB'],
]

test.each(WRONG.map(([text, message]) => ({ title: text.slice(0, 80), text, message })))(
  '$title',
  ({ text, message }) => {
    const found = problems(text)
    expect(found.length).toBeGreaterThan(0)
    expect(found.join('\n')).toContain(message)
  },
)

test('an alias bomb is refused quickly and in few words', () => {
  const level = (name: string, inner: string) =>
    `${name}: &${name} [${Array.from({ length: 9 }, () => inner).join(',')}]`
  const text = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name, i, all) =>
    level(name, i === 0 ? '1' : `*${all[i - 1]}`),
  )
  expect(problems(text.join('\n')).join('\n')).toContain('more than 50000 values')
})

test('no message shows a value that came from the environment or a file', () => {
  const ref = '"${env:ALPHA_API_KEY}"'
  const places = [
    `providers: { alpha: { type: ${ref}, base_url: ${ref} } }`,
    `providers: { alpha: { base_url: ${ref}, auth: ${ref}, operations: [${ref}], stream_usage: ${ref}, tls: { ca: ${ref} } } }`,
    `${ALPHA}models: { a: { targets: [{ provider: ${ref}, when: ${ref} }], fallbacks: [${ref}], aliases: [${ref}, ${ref}] } }`,
    `${ALPHA}models: { a: ${ref}, b: [${ref}], c: { targets: [${ref}], sticky: ${ref} } }`,
    `server: { host: ${ref}, port: ${ref}, workers: ${ref}, log: { level: ${ref} } }`,
    `defaults: { timeouts: { idle: ${ref} }, retries: { statuses: [${ref}] }, hedge: ${ref} }`,
  ]
  for (const place of places) {
    const found = problems(place)
    expect(found.length).toBeGreaterThan(0)
    expect(found.join('\n')).not.toContain('sk-alpha')
  }
})

test('a literal that stands where it does not belong is not quoted either', () => {
  expect(problems('providers: { alpha: { api_key: [sk-literal] } }').join('\n')).not.toContain('sk-literal')
  expect(problems('providers:\n  alpha:\n    api_key: "sk-literal\n  x: y: z').join('\n')).not.toContain('sk-literal')
  expect(problems('a: b\n  sk-literal: : :\n - x').join('\n')).not.toContain('sk-literal')
})

test('a ConfigError is a gateway error with the code config_invalid', () => {
  try {
    load('x: 1')
    expect.unreachable()
  } catch (error) {
    expect(GatewayError.is(error)).toBe(true)
    expect(error).toMatchObject({
      code: 'config_invalid',
      problems: [{ file: 'heddle.yaml', line: 1, column: 1, path: 'x' }],
    })
  }
})

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-config-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
})

const write = (name: string, text: string) => writeFileSync(join(folder, name), text)

test('a folder is merged in the order of names', () => {
  write('20-models.yaml', 'models: { b: alpha/b }')
  write('10-base.yml', 'providers: { alpha: }\nserver: { port: 1 }\nmodels: { a: alpha/a }')
  write('30-more.yaml', 'server: { host: 127.0.0.1 }')
  write('notes.txt', 'not yaml: [')
  write('.hidden.yaml', 'not yaml: [')
  const { config, files } = loadConfig(folder, options)
  expect(config.models.map(({ name }) => name)).toEqual(['a', 'b'])
  expect(config.server.port).toBe(1)
  expect(files.map((file) => file.slice(folder.length + 1))).toEqual(['10-base.yml', '20-models.yaml', '30-more.yaml'])
})

test('the same key in two files names both places, and a problem names its own file', () => {
  write('a.yaml', 'providers: { alpha: }\nmodels:\n  x: alpha')
  write('b.yaml', 'models:\n  x: alpha/2\n  y: nope')
  try {
    loadConfig(folder, options)
    expect.unreachable()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(error.problems.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, ''))).toEqual([
      'b.yaml:2:3 models.x: stands here and at a.yaml:3:3; keep one of them',
      'b.yaml:3:6 models.y: no provider is named `nope`; known providers: alpha',
    ])
  }
})

test.each([
  ['missing.yaml', 'no such file or directory'],
  ['.', 'holds no *.yaml or *.yml file'],
])('%s: %s', (name, message) => {
  expect(() => loadConfig(join(folder, name), options)).toThrow(message)
})

test('a file is relative to its own folder', () => {
  write('key', 'from-disk\n')
  write('c.yaml', 'providers:\n  alpha:\n    api_key: ${file:key}')
  const { readFile: _, ...real } = options
  const { config, files } = loadConfig(join(folder, 'c.yaml'), real)
  expect(config.providers[0]?.apiKey).toBe('from-disk')
  expect(files).toEqual([join(folder, 'c.yaml'), join(folder, 'key')])
})
