import { expect, test } from 'vitest'
import { PRESETS } from '../providers/index.ts'
import { maskedConfig } from './dump.ts'
import { loadConfigText } from './index.ts'
import { isProxied, parseProxy } from './normalise-egress.ts'
import { ConfigError, formatProblem } from './problem.ts'

const load = (provider: string, env: Record<string, string> = {}, rest = '') =>
  loadConfigText(`providers:\n  p: { type: openai_compatible, ${provider} }\n${rest}`, { presets: PRESETS, env }).config

const problems = (...given: Parameters<typeof load>): string => {
  try {
    load(...given)
    return ''
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(formatProblem).join('\n')
  }
}

const VENDOR = 'base_url: "http://api.vendor.example/v1"'

test.each([
  ['a key', `${VENDOR}, api_key: sk-1234567890`],
  ['credentials of a file', `${VENDOR}, credentials: { file: /run/key }`],
  ['a header with a key', `${VENDOR}, headers: { Authorization: "Bearer x" }`],
  ['a key in the query', `${VENDOR}, query: { key: AIza1 }`],
  ['a header of the vendor’s own', `${VENDOR}, headers: { X-Vendor-Token: x }`],
  [
    'a key to loopback by name, to anywhere by address',
    'base_url: "http://localhost:8000/v1", api_key: sk-1234567890, class: vendor, ' +
      'discovery: { type: static, endpoints: ["127.0.0.1:1", "203.0.113.5:80"] }',
  ],
  [
    'a key to whom a registry names',
    'base_url: "http://localhost:8000/v1", api_key: sk-1234567890, class: vendor, ' +
      'discovery: { type: dns, name: models.vendor.example, port: 80 }',
  ],
  [
    'a key to a vendor whose name looks like the cluster’s',
    'base_url: "http://api.svc.vendor.example/v1", api_key: sk-1',
  ],
  ['a header of one', 'base_url: "http://a.b.svc.vendor.example:81/v1", headers: { X-Token: x }'],
  ['one with more of it', 'base_url: "http://a.b.svc.vendor.example/v1", api_key: sk-1'],
  [
    'through a proxy, which sees it too',
    `${VENDOR}, api_key: sk-1, egress: { mode: connect-proxy, proxy: "http://p:1" }`,
  ],
])('%s to a vendor in clear is refused, with its place', (_what, provider) => {
  expect(problems(provider)).toMatch(/^heddle\.yaml:2:\d+ providers\.p\.base_url: is not encrypted/)
  expect(problems(provider)).not.toContain('sk-1')
})

test.each([
  ['https', 'base_url: "https://api.vendor.example/v1", api_key: sk-1'],
  ['no key', VENDOR],
  ['loopback', 'base_url: "http://127.0.0.1:8000/v1", api_key: sk-1'],
  [
    'loopback, member by member',
    'base_url: "http://localhost:8000/v1", api_key: sk-1, discovery: { type: static, endpoints: ["127.0.0.1:1", "[::1]:2"] }',
  ],
  ['a workload of the mesh by its name', 'base_url: "http://vllm.llm.svc:8000/v1", api_key: sk-1'],
  ['one by its whole name', 'base_url: "http://vllm.llm.svc.cluster.local:8000/v1", api_key: sk-1'],
  ['a cluster with a domain of its own, and no key', 'base_url: "http://vllm.llm.svc.corp.example:8000/v1"'],
  ['no secret', `${VENDOR}, headers: { X-Title: x, Idempotency-Key: x }, query: { api-version: v1 }`],
  ['a workload of the mesh by decree', `${VENDOR}, api_key: sk-1, class: mesh`],
  ['accepted', `${VENDOR}, api_key: sk-1, egress: { plaintext_key: true }`],
  ['a proxy of the mesh that is asked first', `${VENDOR}, api_key: sk-1, egress: { mode: mesh-originate }`],
  ['the mesh’s own way out', `${VENDOR}, api_key: sk-1, egress: { mode: egress-gateway }`],
])('%s is not', (_what, provider) => {
  expect(problems(provider)).toBe('')
})

test('https with a port of its own does not say where the mesh is called', () => {
  expect(problems('base_url: "https://api.vendor.example:8443/v1", egress: { mode: mesh-originate }')).toContain(
    'http://api.vendor.example:PORT',
  )
})

test('Linkerd originates nothing', () => {
  const given = [`${VENDOR}, egress: { mode: mesh-originate }`, {}, 'mesh: { kind: linkerd }\n'] as const
  expect(problems(...given)).toMatch(/^heddle\.yaml:2:\d+ providers\.p\.egress\.mode: Linkerd/)
})

const HTTPS = 'base_url: "https://api.vendor.example/v1", api_key: sk-1'

test('the proxy of the environment counts only where it is asked for, and NO_PROXY with it', () => {
  const env = { HTTPS_PROXY: 'http://user:p%40ss@proxy.example:3128' }
  expect(load(HTTPS, env).providers[0]!.egress.proxy).toBeNull()
  const through = `${HTTPS}, egress: { mode: connect-proxy }`
  expect(load(through, env).providers[0]!.egress.proxy).toEqual({
    url: 'http://proxy.example:3128',
    authorization: `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
  })
  expect(load(through, { ...env, NO_PROXY: '.vendor.example' }).providers[0]!.egress.proxy).toBeNull()
  const own = `${HTTPS}, egress: { mode: connect-proxy, proxy: "https://own.example" }`
  expect(load(own, { ...env, NO_PROXY: '*' }).providers[0]!.egress.proxy?.url).toBe('https://own.example')
  expect(problems(through)).toMatch(/egress: `connect-proxy` needs `proxy`, or HTTPS_PROXY/)
})

test('what is no URL of a proxy is refused, and not shown: it may hold a password', () => {
  const text = problems(`${HTTPS}, egress: { mode: connect-proxy, proxy: "socks5://u:hunter22@proxy" }`)
  expect(text).toMatch(/heddle\.yaml:2:\d+ providers\.p\.egress\.proxy/)
  expect(text).not.toContain('hunter22')
  expect(problems(`${HTTPS}, egress: { mode: connect-proxy }`, { HTTPS_PROXY: '::hunter22' })).not.toContain('hunter22')
  expect(problems(`${HTTPS}, egress: { proxy: "http://p:1" }`)).toContain('means nothing without')
})

test('the password of a proxy is masked, its address is not', () => {
  const config = load(`${HTTPS}, egress: { mode: connect-proxy, proxy: "http://user:hunter22@proxy:3128" }`)
  const text = JSON.stringify(maskedConfig(config))
  expect(text).toContain('"url":"http://proxy:3128","authorization":"***"')
  expect(text).not.toContain(Buffer.from('user:hunter22').toString('base64'))
})

test.each([
  ['proxy:3128', 'http://proxy:3128'],
  ['http://proxy/', 'http://proxy'],
  ['https://[::1]:8080', 'https://[::1]:8080'],
])('%s is a proxy', (text, url) => {
  expect(parseProxy(text)).toEqual({ url, authorization: null })
})

test.each(['socks5://proxy', 'http://proxy/path', 'http://', 'ftp://x', 'http://%zz:x@proxy'])('%s is none', (text) => {
  expect(parseProxy(text)).toBeNull()
})

test.each([
  ['', true],
  ['*', false],
  ['api.example.com', false],
  ['example.com', false],
  ['.example.com', false],
  ['*.example.com', false],
  ['ample.com', true],
  ['other, API.example.com:443', false],
  ['api.example.com:80', true],
  ['::1 localhost', true],
])('NO_PROXY %j', (list, proxied) => {
  expect(isProxied(new URL('https://api.example.com/v1'), list)).toBe(proxied)
})
