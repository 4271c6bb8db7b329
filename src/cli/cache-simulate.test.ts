import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { execute } from './main.ts'
import type { Modules } from './main.ts'

const EXAMPLE = new URL('../../examples/cache-trace.jsonl', import.meta.url).pathname

const run = async (argv: readonly string[], input = '') => {
  let out = ''
  let err = ''
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    env: {},
    cwd: '/',
    exists: () => false,
    read: (path: string) => (path === '-' ? input : readFileSync(path, 'utf8')),
  }
  const code = await execute(['cache', 'simulate', ...argv], io, {} as Modules)
  return { code, out, err }
}

interface Plain {
  readonly bound: object
  readonly policies: readonly Record<string, number | string | null>[]
  readonly estimate: { readonly state: string; readonly budget: number }
}
const json = async (argv: readonly string[], input = ''): Promise<Plain> =>
  JSON.parse((await run([...argv, '--json'], input)).out) as Plain

const lines = (...rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

describe('heddle cache simulate', () => {
  test('replays the example: little evidence serves nothing at a strict bound, something at a loose one', async () => {
    const strict = await json([EXAMPLE])
    const loose = await json([EXAMPLE, '--max-wrong-per-request', '20%'])
    const [own] = loose.policies
    expect(strict.bound).toEqual({ measure: 'wrong_per_request', bound: 0.01, confidence: 0.95 })
    expect(strict.policies[0]).toMatchObject({ semantic_hits: 0, wrong: 0, exact_hits: 3 })
    expect(strict.estimate.state).toBe('learning')
    expect(own!['semantic_hits']).toBeGreaterThan(0)
    expect(own!['wrong']).toBeLessThanOrEqual(loose.estimate.budget)
    expect(loose.estimate.state).toBe('serving')
    // A fixed threshold errs more often on the same requests.
    const fixed = loose.policies.find(({ policy }) => policy === 'cosine 0.80')!
    expect(fixed['wrong']).toBeGreaterThan(Number(own!['wrong']))
    for (const policy of loose.policies) {
      const { requests, exact_hits: exact, semantic_hits: semantic, backend_calls: calls } = policy
      expect(Number(exact) + Number(semantic) + Number(calls)).toBe(requests)
      expect(policy['saved_usd']).toBeGreaterThan(0)
    }
  })

  test('prints a table and what the promise was, the same each time', async () => {
    const { code, out } = await run([EXAMPLE, '--max-wrong-per-hit', '2%', '--confidence', '90%'])
    expect(code).toBe(0)
    expect(out).toMatch(/^59 requests\n\npolicy +hits +exact +semantic +wrong /)
    expect(out).toMatch(/^heddle, 2 % of hits +\d+\.\d %/m)
    expect(out).toMatch(/^cosine 0\.95 +\d/m)
    expect(out).toContain('at most 2 % of the semantic hits are wrong (5 of them from the start), at any time')
    expect(out).toContain('90 % sure')
    expect(out).toContain('Nothing was served by meaning')
    expect((await run([EXAMPLE, '--max-wrong-per-hit', '2%', '--confidence', '90%'])).out).toBe(out)
  })

  test('reads standard input, and rows without a cost', async () => {
    const same = { prompt: 'How do I sharpen a knife?', cls: 'sharpen' }
    const { out } = await run(['-'], `${lines(same)}\n${lines(same)}`)
    expect(out).toMatch(/^heddle, 1 % of requests +50\.0 % +1 +0 +0 .* –$/m)
    expect((await json(['-'], lines(same))).policies[0]!['saved_usd']).toBeNull()
  })

  test('answers that say the same in other words are one answer', async () => {
    const trace = (answer: string) =>
      lines(
        { prompt: 'How long does delivery take?', answer: 'It takes two to four working days.' },
        { prompt: 'How long does the delivery take?', answer },
      )
    const wrongOf = async (answer: string) =>
      (await json(['-'], trace(answer))).policies.find(({ policy }) => policy === 'cosine 0.80')!
    expect(await wrongOf('It takes two to four working days')).toMatchObject({ semantic_hits: 1, wrong: 0 })
    expect(await wrongOf('That takes two to four working days.')).toMatchObject({ semantic_hits: 1, wrong: 0 })
    expect(await wrongOf('It takes two to six working days.')).toMatchObject({ semantic_hits: 1, wrong: 1 })
  })

  test.each([
    [['-'], '{"prompt":"a","cls":"b"}\nnot JSON\n', '-, line 2: not JSON'],
    [['-'], '\n{"prompt":"a"}\n', '-, line 2: no "cls" or "answer"'],
    [['-'], '{"messages":[{"role":"assistant","content":"x"}],"cls":1}', 'line 1: no "prompt", and no "messages"'],
    [['-'], '\n\n', 'holds no requests'],
    [['missing.jsonl'], '', 'missing.jsonl cannot be read'],
    [[], '', 'needs a file with a trace'],
    [['-', '--max-wrong-per-request', '0%'], '', '--max-wrong-per-request'],
    [['-', '--max-wrong-per-hit', 'few'], '', '--max-wrong-per-hit'],
    [['-', '--max-wrong-per-hit', '1%', '--max-wrong-per-request', '1%'], '', 'not both'],
    [['-', '--confidence', '100%'], '', '--confidence'],
  ])('%j refuses %j', async (argv, input, message) => {
    const { code, out, err } = await run(argv, input)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(message)
  })
})
