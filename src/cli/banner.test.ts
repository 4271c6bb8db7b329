import { expect, test } from 'vitest'
import { loadConfigText, loadConfig } from '../config/index.ts'
import { PRESETS } from '../providers/index.ts'
import { banner, exampleModel } from './banner.ts'
import type { BannerFacts } from './banner.ts'

const env = { OPENAI_API_KEY: 'sk-secret', OLLAMA_HOST: 'box' }
const zero = loadConfig(null, { presets: PRESETS, env }).config

const facts = (more: Partial<BannerFacts> = {}): BannerFacts => ({
  version: '1.2.3',
  config: zero,
  source: null,
  url: 'http://127.0.0.1:8080',
  tlsUrl: null,
  adminUrl: 'http://127.0.0.1:8081',
  presets: PRESETS,
  workers: 1,
  ...more,
})

test('without a file it says what is on, what is off and why, and how to try it', () => {
  const text = banner(facts())
  expect(text).toMatch(/openai +on +https:\/\/api\.openai\.com\/v1/)
  expect(text).toMatch(/ollama +on +http:\/\/box:11434\/v1/)
  expect(text).toMatch(/sim +on +simulated/)
  expect(text).toMatch(/groq +off +GROQ_API_KEY is not set/)
  expect(text).toMatch(/azure +off +AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT are not set/)
  expect(text).toMatch(/lmstudio +off +LMSTUDIO_BASE_URL is not set/)
  expect(text).toContain('curl http://127.0.0.1:8080/v1/chat/completions')
  expect(text).toContain('"model":"openai/gpt-5-mini"')
  expect(text).toContain('base_url="http://127.0.0.1:8080/v1"')
  expect(text).not.toContain('sk-secret')
  expect(text).toContain('only this machine is served')
  expect(text.endsWith('\n')).toBe(true)
})

test('with a file it names the file and the models, and is silent about what was not asked for', () => {
  const { config } = loadConfigText(
    `server: { insecure: true }
providers: { openai: }
models: { "any-*": openai, fast: { targets: [openai/gpt-5-mini], aliases: [quick] } }`,
    { presets: PRESETS, env },
  )
  const text = banner(facts({ config, source: 'heddle.yaml', workers: 4 }))
  expect(text).toContain(`configuration ${config.hash} from heddle.yaml, 4 workers`)
  expect(text).toContain('fast (also quick)  →  openai/gpt-5-mini')
  expect(text).toContain('any-*  →  openai')
  expect(text).toContain('insecure: clients are not authenticated')
  expect(text).not.toContain(' off ')
  expect(exampleModel(config)).toBe('fast')
})

test('many models are cut', () => {
  const models = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`m${i}`, 'openai']))
  const { config } = loadConfigText(JSON.stringify({ providers: { openai: null }, models }), { presets: PRESETS, env })
  expect(banner(facts({ config }))).toContain('and 8 more')
})

test('the example works with nothing configured', () => {
  expect(exampleModel(loadConfig(null, { presets: PRESETS, env: {} }).config)).toBe('sim')
})

test('the curl line survives a quote in a model name', () => {
  const { config } = loadConfigText('providers: { openai: }\nmodels: { "it\'s": openai/x }', { presets: PRESETS, env })
  expect(banner(facts({ config }))).toContain(String.raw`"model":"it'\''s"`)
})
