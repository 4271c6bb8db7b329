// The standard tests that LangChain has for chat models, in Python, before backends of every vendor.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { BACKENDS, startBackends, type BackendName, type Backends } from './backends.ts'
import { clientEnv, pythonEnv, run, type PythonEnv } from './python-env.ts'

/** Downloads and compiles nothing, but a cold machine has a hundred wheels to fetch. */
const INSTALL_MS = 240_000
const SUITE_MS = 120_000

let backends: Backends
let env: PythonEnv

beforeAll(async () => {
  ;[backends, env] = await Promise.all([startBackends(), pythonEnv('today', 11, 14)])
}, INSTALL_MS)

afterAll(() => backends?.close())

/** What a backend cannot do, or makes too little of, in the words of the suite. */
const LACKS: Readonly<Partial<Record<BackendName, string>>> = {
  anthropic: 'json_mode',
  bedrock: 'image_url,json_mode',
  cohere: 'pdf',
}

it.each([
  // By names that the vendors know as well: the suite looks for the one it has asked for.
  ['anthropic', 'anthropic', 'claude-opus-4-5'],
  ['responses', 'openai', 'gpt-4o-mini'],
  ['anthropic', 'gemini', BACKENDS.gemini],
  ['openai', 'bedrock', BACKENDS.bedrock],
  ['openai', 'cohere', BACKENDS.cohere],
  ['responses', 'anthropic', BACKENDS.anthropic],
] as const)('langchain tests, %s client to %s', { timeout: SUITE_MS }, async (client, backend, model) => {
  if ('missing' in env) {
    expect(env.missing).toBeTypeOf('string')
    return
  }
  const args = ['-m', 'pytest', '-c', 'python/pytest.ini', '-W', 'ignore', 'python/test_standard_backends.py']
  const { code, output } = await run(
    env.python,
    args,
    clientEnv({
      HEDDLE_BASE_URL: backends.url,
      HEDDLE_CLIENT: client,
      HEDDLE_MODEL: model,
      HEDDLE_LACKS: LACKS[backend] ?? '',
      LANGCHAIN_TESTS_USER_AGENT: 'heddle-e2e',
    }),
  )
  if (code !== 0) throw new Error(`pytest ended with ${code}:\n${output.slice(-6_000)}`)
  const passed = Number(/(\d+) passed/.exec(output)?.[1] ?? 0)
  expect(passed).toBeGreaterThanOrEqual(25)
})
