import { expect, test } from 'vitest'
import { maskedConfig } from './dump.ts'
import { loadConfigText } from './load.ts'
import { ConfigError } from './problem.ts'

const load = (text: string) => loadConfigText(text, { presets: [], env: {} }).config

const problems = (text: string): readonly string[] => {
  try {
    load(text)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
  return []
}

test('left out there is none; what is left out of a server is as for backends', () => {
  expect(load('models: {}').mcp).toBeNull()
  const { mcp } = load(`
mcp:
  servers:
    github: { url: https://mcp.github.test/mcp/, api_key: secret-key, prefix: gh_, timeout: 5s, tools: ["a*", "a*"], pin: true }
    local: { url: "http://tools.svc:8080/mcp", class: mesh }
`)
  expect(mcp).toMatchObject({
    path: '/mcp',
    names: 'prefixed',
    origins: [],
    session: { ttlMs: 86_400_000, secrets: [] },
    limits: { message: 1_048_576, depth: 64, batch: 20 },
  })
  const [github, local] = mcp!.servers
  expect(github).toMatchObject({ path: '/mcp/', timeoutMs: 5000, tools: ['a*'], prefix: 'gh_', pin: true })
  expect(github?.provider).toMatchObject({
    name: 'mcp:github',
    auth: 'bearer',
    apiKey: 'secret-key',
    operations: [],
    wire: null,
  })
  expect(local).toMatchObject({
    prefix: 'local__',
    tools: null,
    provider: { auth: 'none', class: 'mesh', apiKey: null },
  })
})

test('secrets of servers and sessions are shown nowhere', () => {
  const config = load(`
mcp:
  session: { secrets: [a-secret-of-sixteen-and-more] }
  servers:
    a: { url: "https://a.test/mcp", headers: { x-token: another-secret }, query: { key: query-secret }, api_key: the-key-itself }
`)
  const text = JSON.stringify(maskedConfig(config))
  for (const secret of ['a-secret-of-sixteen', 'another-secret', 'query-secret', 'the-key-itself']) {
    expect(JSON.stringify(config)).toContain(secret)
    expect(text).not.toContain(secret)
  }
})

test.each([
  ['mcp: { servers: {} }', 'mcp.servers: names no server'],
  ['mcp: { servers: { A_b: { url: "http://x.test/" } } }', 'mcp.servers.A_b: must be lower-case'],
  ['mcp: { path: /v1/mcp, servers: { a: { url: "http://x.test/" } } }', 'mcp.path: is a path'],
  [
    'mcp: { servers: { a: { url: "http://x.test/", prefix: x_ }, b: { url: "http://y.test/", prefix: x_y } } }',
    'mcp.servers.b.prefix: begins like the prefix of `a`',
  ],
  [
    'mcp: { servers: { a: { url: "http://x.test/", prefix: x }, b: { url: "http://y.test/", prefix: x } } }',
    'mcp.servers.b.prefix: begins like',
  ],
  ['mcp: { servers: { a: { url: "http://x.test/", api_key: k } } }', 'mcp.servers.a.url: is not encrypted'],
  ['mcp: { servers: { a: { url: "ftp://x.test/" } } }', 'mcp.servers.a.url: must be an absolute http'],
  ['mcp: { servers: { a: { url: "https://u:p@x.test/" } } }', 'must not hold credentials'],
  [
    'mcp: { servers: { a: { url: "https://x.test/", tls: { svid: true } } } }',
    'mcp.servers.a.tls.svid: needs `mesh.svid`',
  ],
  ['mcp: { servers: { a: { url: "https://x.test/", pins: { t: abc } } } }', 'must be a SHA-256'],
  ['mcp: { session: { secrets: [short] }, servers: { a: { url: "https://x.test/" } } }', 'shorter than 16'],
])('%s', (text, message) => {
  const found = problems(text)
  expect(found).toHaveLength(1)
  expect(found[0]).toContain(message)
  expect(found[0]).not.toContain('u:p')
})
