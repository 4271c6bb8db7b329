// Services in a row as one model: pre-processing, a model server, post-processing.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { say } from '../../src/sim/serving-model.ts'
import { startServing, type SimServing } from '../../src/sim/serving-index.ts'
import { call, headOf, open, type Reply } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

interface Seen {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
}

let service: Server
let sim: SimServing
let gateway: Gateway
const seen: Seen[] = []
let onSeen: (() => void) | null = null
let onCut: (() => void) | null = null

/** What the services answer, by path. */
const ANSWERS: Readonly<Record<string, (body: Record<string, unknown>) => unknown>> = {
  '/clean': ({ text }) => ({ result: { text: String(text).toUpperCase(), tokens: 3 } }),
  '/after': ({ text, question }) => ({ text: `${String(question)} -> ${String(text)}`, spent: 4 }),
  '/vector': ({ text }) => ({ vector: [String(text).length, 0.5] }),
  '/odd': () => ({ unexpected: true }),
}

beforeAll(async () => {
  service = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    res.on('close', () => {
      if (!res.writableFinished) onCut?.()
    })
    req.on('end', () => {
      const path = (req.url ?? '').replace(/\?.*$/, '')
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>
      seen.push({ path: req.url ?? '', headers: req.headers, body })
      onSeen?.()
      if (path === '/silent') return
      if (path === '/refuses') {
        res.writeHead(422, { 'content-type': 'application/json' }).end('{"detail":"no such language"}')
      } else if (path === '/breaks') res.writeHead(500).end('boom at http://10.0.0.1:80')
      else if (path === '/moves') res.writeHead(302, { location: 'http://elsewhere.example/' }).end()
      else if (path === '/huge') res.writeHead(200).end(Buffer.alloc(3_000_000, 0x20))
      else res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ANSWERS[path]!(body)))
    })
  })
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  sim = await startServing()
  const at = `http://127.0.0.1:${(service.address() as AddressInfo).port}`
  const one = (path: string, more = ''): string =>
    `{ type: pipeline, steps: [{ name: first, url: "${at}/clean", request: { text: "{{user}}" }, outputs: { text: result.text } }, { name: second, url: "${at}/${path}", request: { text: "{{steps.first.text}}" }${more} }] }`
  gateway = await startGateway(`
server: { log: { level: silent, access: false }, limits: { response_body: 1MiB } }
providers:
  chain:
    type: pipeline
    mapping: { prompt: { template: chatml } }
    steps:
      - name: clean
        url: ${at}/clean?lang=fr
        headers: { x-clean-key: k-1 }
        request: { text: "{{user}}", options: { deep: [true, "{{temperature}}"] } }
        outputs: { text: result.text, input_tokens: result.tokens }
      - name: model
        type: tensorflow_serving
        url: ${sim.grpcUrl}
        model: m
        mapping:
          inputs: { text: "{{steps.clean.text}}", max_len: { value: "{{max_tokens}}", type: int32 } }
          outputs: { text: output, input_tokens: prompt_tokens, output_tokens: tokens }
      - name: after
        url: ${at}/after
        request: { text: "{{steps.model.text}}", question: "{{steps.clean.text}}" }
        outputs: { text: text, output_tokens: spent }
  vectors: { type: pipeline, steps: [{ name: only, url: "${at}/vector", request: { text: "{{input}}" }, outputs: { embedding: vector } }] }
  refuses: ${one('refuses')}
  breaks: ${one('breaks')}
  moves: ${one('moves')}
  odd: ${one('odd')}
  huge: ${one('huge')}
  slow: ${one('silent', ', timeout: 50ms')}
  silent: ${one('silent')}
  gone: { type: pipeline, steps: [{ name: nobody, url: "http://127.0.0.1:1/x", request: { text: "{{user}}" } }] }
models:
  chained: chain
  saved: [gone, chain]
defaults: { retries: { max_attempts: 2, per_target: 1 } }
`)
})

beforeEach(() => {
  seen.length = 0
  onSeen = onCut = null
})

afterAll(async () => {
  await gateway.stop()
  await sim.close()
  service.closeAllConnections()
  await new Promise((resolve) => service.close(resolve))
})

const chat = (model: string, more: object = {}, headers: Record<string, string> = {}): Promise<Reply> =>
  call(`${gateway.url}/v1/chat/completions`, {
    body: { model, messages: [{ role: 'user', content: 'What is the capital of France?' }], ...more },
    headers,
  })

const QUESTION = 'WHAT IS THE CAPITAL OF FRANCE?'
const answer = (maxTokens?: number): string => `${QUESTION} -> ${say(QUESTION, 'm', maxTokens, { seed: 1 }).text}`

interface ChatAnswer {
  readonly choices: readonly { readonly message: { readonly content: string } }[]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

test('what one step gives the next one gets, and the client sees one model', async () => {
  const reply = await chat('chained', { temperature: 0.5, max_tokens: 6 })
  expect(reply).toMatchObject({ status: 200 })
  const { choices, usage } = reply.json() as ChatAnswer
  expect(choices[0]!.message.content).toBe(answer(6))
  const model = say(QUESTION, 'm', 6, { seed: 1 })
  expect(usage).toMatchObject({ prompt_tokens: 3 + model.promptTokens, completion_tokens: 6 + 4 })
  expect(seen.map(({ path }) => path)).toEqual(['/clean?lang=fr', '/after'])
  expect(seen[0]!.body).toEqual({ text: 'What is the capital of France?', options: { deep: [true, 0.5] } })
  expect(seen[0]!.headers['x-clean-key']).toBe('k-1')
  expect(seen[1]!.headers['x-clean-key']).toBeUndefined()
})

test('what the request does not say is left out of what a step is told', async () => {
  expect((await chat('chained')).status).toBe(200)
  expect(seen[0]!.body).toEqual({ text: 'What is the capital of France?', options: { deep: [true] } })
})

test('a stream is the whole answer at once, and stop sequences hold', async () => {
  const reply = await chat('chained', { stream: true, stop: [' ->'] })
  expect(reply).toMatchObject({ status: 200 })
  const text = [...reply.text.matchAll(/"content":"([^"]*)"/g)].map(([, piece]) => piece).join('')
  expect(text).toBe(QUESTION)
  expect(reply.text).toContain('[DONE]')
})

test('vectors come from a pipeline as well, one text at a time', async () => {
  const embed = (input: unknown): Promise<Reply> =>
    call(`${gateway.url}/v1/embeddings`, { body: { model: 'vectors/x', input } })
  const reply = await embed('abc')
  expect(reply.json()).toMatchObject({ data: [{ embedding: [3, 0.5] }] })
  expect((await embed(['a', 'b'])).status).toBe(400)
})

test('the fault of a step is told with its name and without its address', async () => {
  const refused = await chat('refuses/x')
  expect(refused).toMatchObject({ status: 422 })
  expect(refused.text).toContain("Step 'second' of the pipeline: no such language")
  for (const [model, status] of [
    ['breaks', 502],
    ['moves', 502],
    ['odd', 502],
    ['huge', 502],
    ['slow', 504],
  ] as const) {
    const reply = await chat(`${model}/x`)
    expect(reply).toMatchObject({ status: status })
    expect(reply.text).not.toMatch(/127\.0\.0\.1|10\.0\.0\.1|elsewhere/)
  }
})

test('a pipeline whose first step cannot be reached fails over like any target', async () => {
  const reply = await chat('saved')
  expect(reply).toMatchObject({ status: 200 })
  expect((reply.json() as ChatAnswer).choices[0]!.message.content).toBe(answer())
})

test('a client that leaves takes back the step that is under way', async () => {
  const reached = new Promise<void>((resolve) => {
    onSeen = () => {
      if (seen.at(-1)!.path === '/silent') resolve()
    }
  })
  const cut = new Promise<void>((resolve) => (onCut = resolve))
  const req = open(`${gateway.url}/v1/chat/completions`, {
    body: { model: 'silent/x', messages: [{ role: 'user', content: 'hi' }] },
  })
  headOf(req).catch(() => {})
  await reached
  req.destroy()
  await expect(cut).resolves.toBeUndefined()
})
