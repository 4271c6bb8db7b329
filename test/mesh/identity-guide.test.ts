// Every configuration in the guide on mesh identities loads, and believes whom the page says.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { loadConfigText } from '../../src/config/index.ts'
import { identityRules } from '../../src/mesh/identity/rules.ts'
import { hasOpenssl, makeCerts } from './identity-certs.ts'
import { modelFacts, PRESETS } from '../../src/providers/index.ts'

const page = readFileSync(new URL('../../docs/guides/mesh-identity.md', import.meta.url), 'utf8')
const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')
const options = { presets: PRESETS, facts: modelFacts, env: { OPENAI_API_KEY: 'sk-a' } }

const OWN = ['127.0.0.1']
const SIDECAR = { kind: 'addresses', ranges: OWN }
const EXPECTED = [
  ['x-forwarded-client-cert', SIDECAR],
  ['l5d-client-id', SIDECAR],
  ['x-forwarded-client-cert', { kind: 'anyone' }],
  [
    'x-forwarded-client-cert',
    { kind: 'forwarders', ids: ['spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway'] },
  ],
  ['x-forwarded-client-cert', SIDECAR],
  ['x-forwarded-client-cert', SIDECAR],
  ['x-caller', { kind: 'addresses', ranges: ['10.0.0.5/32'] }],
]

test.skipIf(!hasOpenssl)('each example believes whom the page says', () => {
  const certs = makeCerts()
  certs.issue('heddle', '/CN=heddle', 'URI.1=spiffe://cluster.local/ns/llm/sa/heddle')
  const files: Readonly<Record<string, string>> = {
    'cert-chain.pem': 'heddle.pem',
    'key.pem': 'heddle.key',
    'root-cert.pem': 'ca.pem',
  }
  const readFile = (path: string): string => certs.pem(files[path.split('/').at(-1) ?? ''] ?? path)
  const found = blocks.map((text) => {
    const { header, trust } = identityRules(loadConfigText(text, { ...options, readFile }).config, OWN)
    return [header, trust]
  })
  certs.close()
  expect(found).toEqual(EXPECTED)
})
