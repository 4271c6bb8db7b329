// `heddle record` before an API that wants a key, and every recording that there is read by the wire of its path.
import { globSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRecorder, targetOf, type Recording } from '../../src/cli/record-proxy.ts'
import type { JsonObject } from '../../src/contracts/canonical.ts'
import type { Dialect } from '../../src/contracts/dialect.ts'
import { wireOf } from '../../src/protocol/wires.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { Hearer, readStream, type Meaning } from '../support/translation.ts'

const KEY = 'sk-ant-secret-0123456789'

const PATHS: readonly (readonly [RegExp, Dialect])[] = [
  [/\/chat\/completions$/, 'openai.chat'],
  [/\/responses$/, 'openai.responses'],
  [/\/messages$/, 'anthropic.messages'],
  [/:(?:streamG|g)enerateContent$/, 'gemini.generate'],
  [/\/converse(?:-stream)?$/, 'bedrock.converse'],
  [/\/v2\/chat$/, 'cohere.chat'],
  [/\/api\/chat$/, 'ollama.chat'],
  [/\/generate(?:_stream)?$/, 'tgi.generate'],
]

/** What a recorded answer means, read by the wire that its path names; null = no wire reads it. */
function replay({ request, response }: Recording): Meaning | null {
  const dialect = PATHS.find(([path]) => path.test(request.path))?.[1]
  if (dialect === undefined || response.status !== 200) return null
  const bytes = Buffer.concat(response.pieces.map((piece) => Buffer.from(piece, response.encoding)))
  const hearer = new Hearer()
  if (response.headers['content-type']?.startsWith('application/json') === true)
    expect(wireOf(dialect).answer(JSON.parse(bytes.toString()) as JsonObject, hearer)).toBe('ok')
  else readStream(dialect, bytes, hearer)
  expect(hearer.meaning.ended).toBe(true)
  return hearer.meaning
}

let sim: Sim
let recorder: Awaited<ReturnType<typeof startRecorder>>
const kept: Recording[] = []

beforeAll(async () => {
  sim = await startSim({ port: 0, apiKey: KEY })
  const to = new URL(`http://127.0.0.1:${sim.port}`)
  recorder = await startRecorder({ to, port: 0, keep: (recording) => kept.push(recording), log: () => {} })
})
afterAll(async () => {
  await recorder.close()
  await sim.close()
})

const ask = async (stream: boolean, key = KEY): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${recorder.port}/v1/messages?key=${KEY}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key, 'anthropic-version': '2023-06-01', cookie: 'a=b' },
    body: JSON.stringify({
      model: 'sim-1',
      max_tokens: 50,
      stream,
      metadata: { user_id: `user of ${KEY}` },
      messages: [{ role: 'user', content: 'Say hello to the weaver.' }],
    }),
  })
  return response.text()
}

test('the client gets its answer, the file has it without the key', async () => {
  const answers = [await ask(false), await ask(true)]
  expect(kept).toHaveLength(2)
  for (const [i, recording] of kept.entries()) {
    expect(recording.request.path).toBe('/v1/messages')
    expect(Object.keys(recording.request.headers).toSorted()).toEqual(
      expect.arrayContaining(['anthropic-version', 'content-type']),
    )
    expect(JSON.stringify(recording)).not.toContain('secret')
    expect(JSON.stringify(recording)).not.toMatch(/cookie|x-api-key/)
    expect(recording.response.pieces.join('')).toBe(answers[i])
  }
  expect(kept[0]!.request.body).toContain('user of [key]')
  const [whole, streamed] = kept.map(replay)
  expect(streamed!.text).toBe(whole!.text)
  expect(whole!.text).not.toBe('')
})

test('every recording that is there is read by its wire', () => {
  // Whoever has a key adds real ones: `heddle record URL --out test/fixtures/recorded`.
  const files = globSync('test/fixtures/recorded/**/*.json', { cwd: new URL('../../', import.meta.url) })
  const added = files.map(
    (file) => JSON.parse(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')) as Recording,
  )
  for (const recording of [...kept, ...added]) expect(replay(recording)?.ended).not.toBe(false)
  expect(kept.length).toBeGreaterThan(1)
})

test('what the API refuses is kept as well', async () => {
  await ask(false, 'wrong-key-1234')
  expect(kept.at(-1)!.response.status).toBe(401)
  expect(JSON.stringify(kept.at(-1))).not.toContain('wrong-key')
})

test('paths are those of the API, its base named once', () => {
  expect(targetOf(new URL('https://a.test/v1'), '/v1/messages').href).toBe('https://a.test/v1/messages')
  expect(targetOf(new URL('https://a.test/v1'), '/messages?x=1').href).toBe('https://a.test/v1/messages?x=1')
  expect(targetOf(new URL('https://a.test'), '/v1/messages').href).toBe('https://a.test/v1/messages')
})
