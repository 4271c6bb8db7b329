import { expect, test } from 'vitest'
import { PRESETS } from '../providers/presets.ts'
import { loadConfigText } from './index.ts'
import { ConfigError } from './problem.ts'

const FILES = 'mesh: { svid: { source: files, cert: /c.pem, key: /k.pem, bundle: /b.pem } }'
const PROVIDER = (tls: string, url = 'https://vllm.models:8443/v1'): string =>
  `providers: { v: { type: openai_compatible, base_url: "${url}", api_key: k, tls: { ${tls} } } }\nmodels: { m: v/x }`

const load = (yaml: string, env: Record<string, string> = {}) => loadConfigText(yaml, { presets: PRESETS, env }).config
const problems = (yaml: string, env: Record<string, string> = {}): readonly string[] => {
  try {
    load(yaml, env)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
}

test('sources, each with what it needs', () => {
  expect(load(`${FILES}\n${PROVIDER('svid: true')}`).mesh.svid).toEqual({
    source: 'files',
    cert: '/c.pem',
    key: '/k.pem',
    bundle: '/b.pem',
    trustDomains: [],
  })
  const istio = load('mesh: { svid: { source: istio-sds, trust_domains: [old.local] } }\nproviders: { sim: {} }')
  expect(istio.mesh.svid).toEqual({
    source: 'istio-sds',
    socket: 'unix:/var/run/secrets/workload-spiffe-uds/socket',
    trustDomains: ['old.local'],
  })
  const spiffe = 'mesh: { svid: { source: spiffe } }\nproviders: { sim: {} }'
  const env = { SPIFFE_ENDPOINT_SOCKET: 'unix:///run/spire/agent.sock' }
  expect(load(spiffe, env).mesh.svid).toMatchObject({ socket: 'unix:/run/spire/agent.sock', spiffeId: null })
  const tcp = load(spiffe, { SPIFFE_ENDPOINT_SOCKET: 'tcp://127.0.0.1:8081' })
  expect(tcp.mesh.svid).toMatchObject({ socket: '127.0.0.1:8081' })
  expect(problems(spiffe)).toEqual([expect.stringContaining('SPIFFE_ENDPOINT_SOCKET')])
  expect(problems(spiffe, { SPIFFE_ENDPOINT_SOCKET: 'tcp://spire.example:1' })).toHaveLength(1)
})

test.each([
  [`server: { tls: { svid: true, client_cert: required } }`, 'server.tls.svid: needs `mesh.svid`'],
  [`${FILES}\nserver: { tls: { svid: true } }`, 'server.tls.svid: say with `client_cert`'],
  [
    `${FILES}\nserver: { tls: { svid: true, client_cert: required, cert: "-----BEGIN A-----" } }`,
    'server.tls.cert: with `svid: true`',
  ],
  [`server: { tls: {} }`, 'server.tls: `cert` and `key` are needed'],
  [PROVIDER('svid: true'), 'providers.v.tls.svid: needs `mesh.svid`'],
  [PROVIDER('spiffe_ids: ["spiffe://a/*"]'), 'providers.v.tls.spiffe_ids: means nothing without `svid: true`'],
  [`${FILES}\n${PROVIDER('svid: true, ca: "-----BEGIN CERTIFICATE-----"')}`, 'providers.v.tls.ca: with `svid: true`'],
  [`${FILES}\n${PROVIDER('svid: true, verify: false')}`, 'providers.v.tls.verify: with `svid: true`'],
  [
    `${FILES}\n${PROVIDER('svid: true', 'http://127.0.0.1:8000/v1')}`,
    'providers.v.base_url: `tls.svid` needs an https URL',
  ],
  [
    `${FILES}\n${PROVIDER('svid: true').replace('api_key: k,', 'api_key: k, egress: { mode: egress-gateway },')}`,
    'providers.v.tls.svid: `egress.mode: egress-gateway` leaves TLS to others',
  ],
])('%s', (yaml, message) => {
  const rest = yaml.includes('providers:') ? '' : '\nproviders: { sim: {} }'
  const found = problems(yaml + rest)
  expect(found).toEqual([expect.stringContaining(message)])
})
