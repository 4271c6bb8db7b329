// Every configuration in the guide on access loads, and does what the page says of it.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { loadConfig, loadConfigText } from '../../src/config/index.ts'
import { modelFacts, PRESETS } from '../../src/providers/index.ts'

const root = new URL('../../', import.meta.url)
const KEYS_FILE = `- { id: mounted, hash: sha256:${'ab'.repeat(32)} }`

const options = {
  presets: PRESETS,
  facts: modelFacts,
  env: { OPENAI_API_KEY: 'sk-a', ANTHROPIC_API_KEY: 'sk-b', ACME_KEY: 'sk-c', KEYS_FILE: 'keys.yaml' },
  readFile: () => KEYS_FILE,
}

const page = readFileSync(new URL('docs/guides/access.md', root), 'utf8')
const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')

test('the guide has examples', () => {
  expect(blocks.length).toBeGreaterThan(8)
})

test.each(blocks.map((text) => [text.split('\n').slice(0, 4).join(' '), text]))('%s', (_name, text) => {
  const { config } = loadConfigText(text, options)
  expect(config.auth).not.toBeNull()
})

test('the example has every kind of caller that the guide explains', () => {
  const { config } = loadConfig(new URL('examples/access.yaml', root).pathname, options)
  const { auth, tenants } = config
  expect(auth?.keys.map(({ id }) => id)).toEqual(['ci', 'acme-app'])
  expect(auth?.keys[0]?.hashes).toHaveLength(2)
  expect(auth?.signedKeys?.issuers).toHaveLength(1)
  expect(auth?.jwt.map(({ name }) => name)).toEqual(['corp', 'kubernetes'])
  expect(auth?.peers?.header).toBe('x-forwarded-client-cert')
  expect(Object.keys(auth?.roles ?? {})).toEqual(['developer', 'workload'])
  expect(tenants[0]).toMatchObject({ name: 'acme', grant: { regions: ['eu'], noRetention: true } })
})
