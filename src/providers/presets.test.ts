import { expect, test } from 'vitest'
import { loadConfig, loadConfigText } from '../config/index.ts'
import { modelFacts, PRESETS } from './index.ts'

const fits = (pattern: string, name: string): boolean => {
  const [head = '', tail] = pattern.split('*')
  return tail === undefined ? pattern === name : name.startsWith(head) && name.endsWith(tail)
}

test('names are unique, plain, and not those of the built-in types', () => {
  const names = PRESETS.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(name).toMatch(/^[a-z0-9]+$/)
  expect(names).not.toContain('sim')
  expect(names).not.toContain('openai_compatible')
})

test.each(PRESETS.map((preset) => [preset.name, preset] as const))('%s is a sound row', (_, preset) => {
  if (preset.baseUrl === null) expect(preset.urlEnv).not.toBeNull()
  else {
    const url = new URL(preset.baseUrl)
    expect(preset.baseUrl).not.toMatch(/\/$|\?|#/)
    const isLocal = url.hostname === '127.0.0.1'
    expect(url.protocol).toBe(isLocal ? 'http:' : 'https:')
    expect(isLocal).toBe(!preset.keyRequired)
  }
  expect(preset.basePath).toMatch(/^(?:\/.*[^/])?$/)
  expect(preset.operations.length).toBeGreaterThan(0)
  expect(new Set(preset.operations).size).toBe(preset.operations.length)
  if (preset.keyRequired) expect(preset.keyEnv.length).toBeGreaterThan(0)
  for (const variable of [...preset.keyEnv, preset.urlEnv ?? 'NONE']) expect(variable).toMatch(/^[A-Z][A-Z0-9_]*$/)
  for (const pattern of preset.modelPatterns) expect(pattern.split('*').length).toBeLessThanOrEqual(2)
})

test('no environment variable turns on two presets', () => {
  const variables = PRESETS.flatMap(({ keyEnv, urlEnv }) => [...keyEnv, ...(urlEnv === null ? [] : [urlEnv])])
  expect(variables.filter((name, i) => variables.indexOf(name) !== i)).toEqual([])
})

test('no model name fits two presets: neither known names nor the patterns’ own beginnings', () => {
  const samples = PRESETS.flatMap(({ modelPatterns }) => modelPatterns.map((pattern) => pattern.replace('*', 'x')))
  const known = [
    'gpt-5-mini',
    'o3',
    'claude-opus-5',
    'gemini-3.8-flash',
    'mistral-small-latest',
    'grok-4.7',
    'qwen3.8-max',
  ]
  for (const name of [...samples, ...known]) {
    const owners = PRESETS.filter(({ modelPatterns }) => modelPatterns.some((pattern) => fits(pattern, name)))
    expect(owners.map((owner) => owner.name)).toHaveLength(1)
  }
})

test.each(PRESETS.map((preset) => [preset.name, preset] as const))(
  '%s is turned on by its variables alone',
  (_, preset) => {
    const env: Record<string, string> = {}
    const [key] = preset.keyEnv
    if (key !== undefined) env[key] = 'k'
    if (preset.urlEnv !== null) env[preset.urlEnv] = 'https://other.test'
    const { config } = loadConfig(null, { presets: PRESETS, env })
    expect(config.providers.map(({ name }) => name)).toEqual([preset.name, 'sim'])
    const url = preset.urlEnv === null ? preset.baseUrl : `https://other.test${preset.basePath}`
    expect(config.providers[0]).toMatchObject({
      type: preset.name,
      baseUrl: url,
      apiKey: key === undefined ? null : 'k',
    })
  },
)

test('facts: by type and name, dated snapshots like their model, Azure like OpenAI', () => {
  const mini = modelFacts('openai', 'gpt-5-mini')
  expect(mini).toMatchObject({
    capabilities: { tools: true, vision: true, contextWindow: 400_000 },
    price: { input: 0.25, output: 2 },
  })
  expect(modelFacts('openai', 'gpt-5-mini-2025-08-07')).toEqual(mini)
  expect(modelFacts('azure', 'gpt-5-mini')).toEqual(mini)
  expect(modelFacts('anthropic', 'claude-haiku-4-5-20251001')).toEqual(modelFacts('anthropic', 'claude-haiku-4-5'))
  expect(modelFacts('openai', 'gpt-4o-2024-05-13')?.price).toMatchObject({ input: 5, output: 15 })
  expect(modelFacts('openai', 'no-such-model')).toBeUndefined()
  expect(modelFacts('mistral', 'gpt-5-mini')).toBeUndefined()
})

test('facts reach the targets of a configuration', () => {
  const { config } = loadConfigText('models: { a: openai/gpt-5-mini, b: openai/unheard-of }', {
    presets: PRESETS,
    facts: modelFacts,
    env: { OPENAI_API_KEY: 'k' },
  })
  expect(config.models.map(({ targets }) => targets[0]?.price?.input ?? null)).toEqual([0.25, null])
})
