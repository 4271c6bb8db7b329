import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import type { PythonEnv } from './python-env.ts'
import { clientEnv, pythonEnv, run } from './python-env.ts'
import type { Gateway } from './support.ts'
import { startGateway, withGateway } from './support.ts'

/** Downloads and compiles nothing, but a cold machine has a hundred wheels to fetch. */
const INSTALL_MS = 240_000
const SUITE_MS = 120_000

let gateway: Gateway
let today: PythonEnv
let classic: PythonEnv

beforeAll(async () => {
  ;[gateway, today, classic] = await Promise.all([
    startGateway(),
    pythonEnv('today', 11, 14),
    pythonEnv('classic', 9, 12),
  ])
}, INSTALL_MS)

afterAll(() => gateway?.stop())

const pythonOf = (env: PythonEnv, context: TestContext): string => {
  if ('missing' in env) return context.skip(env.missing)
  return env.python
}

/** The program of a user: it knows nothing of Heddle but the address. */
const program = (python: string, file: string) =>
  run(python, [`python/${file}`], clientEnv({ OPENAI_API_BASE: gateway.url, OPENAI_API_KEY: 'sk-e2e' }))

const suite = async (python: string, file: string, url = gateway.url): Promise<{ passed: number; summary: string }> => {
  const env = clientEnv({
    HEDDLE_BASE_URL: url,
    LANGCHAIN_TESTS_USER_AGENT: 'heddle-e2e',
  })
  const { code, output } = await run(
    python,
    ['-m', 'pytest', '-c', 'python/pytest.ini', '-W', 'ignore', `python/${file}`],
    env,
  )
  if (code !== 0) throw new Error(`pytest ended with ${code}:\n${output.slice(-6_000)}`)
  const summary = output.trim().split('\n').at(-1) ?? ''
  return { passed: Number(/(\d+) passed/.exec(summary)?.[1] ?? 0), summary }
}

describe('Python of today', () => {
  it('passes the standard tests of LangChain chat models', { timeout: SUITE_MS }, async (context) => {
    const { passed, summary } = await suite(pythonOf(today, context), 'test_standard_chat.py')
    expect(passed).toBeGreaterThanOrEqual(90)
    expect(summary).not.toMatch(/failed|error/)
  })

  it('passes with the OpenAI client', { timeout: SUITE_MS }, async (context) => {
    const python = pythonOf(today, context)
    // Its last tests make the backend look rate limited.
    const { passed } = await withGateway(({ url }) => suite(python, 'test_openai_client.py', url))
    expect(passed).toBe(11)
  })

  it('passes with LangChain text models, embeddings and agents', { timeout: SUITE_MS }, async (context) => {
    expect((await suite(pythonOf(today, context), 'test_langchain_models.py')).passed).toBe(3)
  })

  it('runs the question chain', { timeout: SUITE_MS }, async (context) => {
    const { code, output } = await program(pythonOf(today, context), 'today_llm_chain.py')
    expect(output).toContain('Paris')
    expect(code).toBe(0)
  })
})

describe('Python of 2023', () => {
  it('runs the classic program unchanged', { timeout: SUITE_MS }, async (context) => {
    const { code, output } = await program(pythonOf(classic, context), 'classic_llm_chain.py')
    expect(output).toContain('Paris')
    expect(code).toBe(0)
  })
})
