import { globSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { drifted, generated } from '../../scripts/gen.ts'
import { loadConfig, loadConfigText } from '../../src/config/index.ts'
import { modelFacts, PRESETS } from '../../src/providers/index.ts'

const root = new URL('../../', import.meta.url)

test('what is generated is up to date: run `npm run gen`', () => {
  expect(drifted()).toEqual([])
})

test('the pages hold every key, code, provider and command', () => {
  const pages = generated()
  const page = (path: string): string => pages.get(path) ?? ''
  expect(page('docs/reference/config.md')).toContain('| `defaults.timeouts.first_token` | duration | `60s` |')
  expect(page('docs/reference/config.md')).not.toMatch(/undefined|\[object/)
  expect(page('docs/reference/errors.md')).toContain('| `config_invalid` | 500 |')
  for (const { name } of PRESETS) expect(page('docs/reference/providers.md')).toContain(`| \`${name}\` |`)
  expect(page('docs/reference/cli.md')).toContain('## heddle check')
})

const EXAMPLE_ENV = {
  OPENAI_API_KEY: 'k',
  ANTHROPIC_API_KEY: 'k',
  GEMINI_API_KEY: 'k',
  GROQ_API_KEY: 'k',
  OPENROUTER_API_KEY: 'k',
  AZURE_KEY: 'k',
  GITHUB_MCP_TOKEN: 'github-token',
  CRM_TOKEN: 'crm-token',
  MCP_SESSION_SECRET: 'a-secret-of-32-characters-or-so!',
  HEDDLE_ADMIN_TOKEN: 'admin-0123456789abcdef',
  HEDDLE_KEY: 'sk-q7Zt3mVx9LcR2wKd8HbN',
  VLLM_A: 'http://10.0.0.11:8000/v1',
  VLLM_B: 'http://10.0.0.12:8000/v1',
}

const examples = globSync('**/*.yaml', { cwd: new URL('examples/', root) })

test('there are examples', () => {
  expect(examples.length).toBeGreaterThanOrEqual(6)
})

test.each(examples)('examples/%s names its schema, explains itself and loads', (name) => {
  const url = new URL(`examples/${name}`, root)
  const [first, second] = readFileSync(url, 'utf8').split('\n')
  const up = '../'.repeat(name.split('/').length)
  expect(first).toBe(`# yaml-language-server: $schema=${up}config/schema.json`)
  expect(second).toMatch(/^# [A-Z]/)
  const { config } = loadConfig(url.pathname, { presets: PRESETS, facts: modelFacts, env: EXAMPLE_ENV })
  expect(config.models.length).toBeGreaterThan(0)
})

const validate = new Ajv2020({ allErrors: true }).compile(
  JSON.parse(readFileSync(new URL('config/schema.json', root), 'utf8')),
)

const faults = (text: string): readonly string[] => {
  // An empty page is an empty map to the loader; a schema sees null.
  validate(parse(text, { merge: true }) ?? {})
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`)
}

test.each(examples)('an editor that knows config/schema.json finds no fault in examples/%s', (name) => {
  expect(faults(readFileSync(new URL(`examples/${name}`, root), 'utf8'))).toEqual([])
})

test.each([
  'server: { prot: 1 }',
  'server: { port: many }',
  'defaults: { timeouts: { idle: 5 apples } }',
  'providers: { x: { auth: basic } }',
  'models: { a: { target: [openai] } }',
  'models: { a: { targets: [{ provider: openai, canary: 2 }] } }',
])('it does find the fault in %s', (text) => {
  expect(faults(text)).not.toEqual([])
})

test('references may stand for values of any form', () => {
  const ref = '"${env:NAME:-x}"'
  expect(
    faults(`server: { port: ${ref}, insecure: ${ref}, workers: ${ref}, log: { level: ${ref} }, limits: { body: ${ref} } }
providers: { x: { base_url: ${ref}, stream_usage: ${ref}, operations: [${ref}] } }
models: { a: ${ref}, b: { targets: [${ref}], sticky: ${ref} } }`),
  ).toEqual([])
})

/** YAML blocks of a page that are whole configurations: those that begin with a top-level key. */
const blocks = (path: string): readonly string[] => {
  const text = readFileSync(new URL(path, root), 'utf8')
  return [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
}

test('every YAML block of the guide loads', () => {
  const all = blocks('docs/guides/configuration.md')
  expect(all.length).toBeGreaterThan(5)
  for (const text of all) {
    const load = () => loadConfigText(text, { presets: PRESETS, env: EXAMPLE_ENV, readFile: () => 'from-file' })
    expect(load).not.toThrow()
    expect(faults(text)).toEqual([])
  }
})
