// A limit that stops streams, through a whole gateway; and what a stream is charged that nobody counted to its end.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventsOf, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let folder = ''
let gateway: Gateway
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-money-'))
})
afterEach(async () => {
  await gateway.stop()
  rmSync(folder, { recursive: true })
})

const start = async (limits: string): Promise<void> => {
  gateway = await startGateway(`
usage: { records: { file: { path: "${folder}/usage.jsonl" } } }
providers: { sim: }
models:
  m: { targets: [{ provider: sim, model: sim-chat, price: { input: 1, output: 10 } }] }
${limits}`)
}

interface Line {
  readonly outcome: string
  readonly estimated: boolean
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cost_usd: string
}

const record = async (): Promise<Line> => {
  const file = join(folder, 'usage.jsonl')
  let text = ''
  await until(() => {
    try {
      text = readFileSync(file, 'utf8')
    } catch {
      // Not written yet.
    }
    return text.endsWith('\n')
  })
  return JSON.parse(text.split('\n').at(-2)!) as Line
}

const WORDS = 900
const DIALECTS = {
  'chat/completions': { messages: [{ role: 'user', content: `Say ${'warp '.repeat(WORDS)}` }] },
  responses: { input: `Say ${'warp '.repeat(WORDS)}` },
} as const
type Path = keyof typeof DIALECTS

const stream = async (path: Path, leaveAfter = Infinity): Promise<string> => {
  const req = open(`${gateway.url}/v1/${path}`, {
    body: { model: 'm', stream: true, ...DIALECTS[path] },
    headers: { 'x-sim-fault': 'interval=1' },
  })
  const res = await headOf(req)
  expect(res.statusCode).toBe(200)
  let text = ''
  res.on('error', () => {})
  req.on('error', () => {})
  await new Promise<void>((resolve) => {
    res.on('close', resolve)
    res.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.split('warp').length > leaveAfter) req.destroy()
    })
  })
  return text
}

/** What a client got: a word is a token. */
const wordsIn = (text: string): number =>
  eventsOf(text).filter(({ data }) => /"(?:content|delta)":" ?warp"/.test(data)).length

const usedOf = async (): Promise<number> => {
  const { limits } = (await (await fetch(`${gateway.adminUrl}/admin/limits`)).json()) as {
    readonly limits: readonly { readonly used: number; readonly reserved: number }[]
  }
  return limits[0]!.used
}

test.each((Object.keys(DIALECTS) as Path[]).flatMap((path) => [[path, ''] as const, [path, 'target'] as const]))(
  '%s, per [%s]: a stream that goes over ends with an error, is charged for what it sent, and the limit holds up to a step',
  async (path, per) => {
    await start(`limits: { words: { per: [${per}], stop_streams: true, rules: [{ output_tokens: 400, per: 1h }] } }`)
    const text = await stream(path)
    expect(eventsOf(text).at(-1)!.data).toContain('budget_exceeded')
    expect(text).not.toContain('[DONE]')
    const sent = wordsIn(text)
    // Nearly all of the limit was there for it.
    expect(sent).toBeGreaterThan(330)
    const line = await record()
    expect(line).toMatchObject({ outcome: 'budget_exceeded', estimated: true })
    expect(line.output_tokens).toBeGreaterThanOrEqual(sent)
    // A step of 32, and what came with the chunk that went over.
    expect(line.output_tokens).toBeLessThanOrEqual(400 + 32 + 32)
    expect(await usedOf()).toBe(line.output_tokens)
    // Nothing is left: the next one is not begun.
    const next = await fetch(`${gateway.url}/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', ...DIALECTS[path] }),
    })
    expect(next.status).toBe(429)
    if (per === '') expect(next.headers.get('x-ratelimit-remaining-tokens')).toBe('0')
  },
)

test.each(Object.keys(DIALECTS) as Path[])(
  '%s: whose client leaves in the middle is charged what had come by then, about',
  async (path) => {
    await start('')
    const sent = wordsIn(await stream(path, 300))
    const line = await record()
    expect(line).toMatchObject({ outcome: 'client_closed', estimated: true })
    expect(line.output_tokens).toBeGreaterThanOrEqual(sent)
    expect(line.output_tokens).toBeLessThanOrEqual(sent * 1.25)
    const nano = (line.input_tokens * 1 + line.output_tokens * 10) * 1000
    expect(Math.round(Number(line.cost_usd) * 1e9)).toBe(nano)
  },
)
