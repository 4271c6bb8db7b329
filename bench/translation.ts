/**
 * What translation costs: `npm run bench:translation -- [--rounds N] [--json FILE]`, about a minute. Microseconds of CPU of the
 * thread that serves, for answers that pass as they come (OpenAI's chat on both sides) and for the same answers from a
 * backend with Anthropic's wire: streams, one event a write as models send them and many in one, and JSON with a conversation
 * of 100 KB. Slice by slice in turn; figures of one run are compared with each other only.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Measured } from './mesh-child.ts'

const EVENTS = 200
const STREAMS = 60
const CALLS = 300
const AT_A_TIME = 8
const WARM_ROUNDS = 4
const STREAM_BAR = 2.5
const JSON_BAR = 2
const WORD = 'shuttle '

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' }, json: { type: 'string' } } })
const ROUNDS = Number(values.rounds)

const sse = (data: object, name?: string): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`

function chatEvents(): string[] {
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm' }
  const chunk = (delta: object, finish: string | null = null): string =>
    sse({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }] })
  return [
    chunk({ role: 'assistant', content: '' }),
    ...Array.from({ length: EVENTS }, () => chunk({ content: WORD })),
    chunk({}, 'stop'),
    sse({ ...head, choices: [], usage: { prompt_tokens: 10, completion_tokens: EVENTS, total_tokens: EVENTS + 10 } }),
    'data: [DONE]\n\n',
  ]
}

function messageEvents(): string[] {
  const event = (data: { readonly type: string }): string => sse(data, data.type)
  const usage = { input_tokens: 10, cache_read_input_tokens: 0, cache_creation_input_tokens: 0, output_tokens: 1 }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], usage }
  const text = (said: string) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: said } })
  return [
    event({ type: 'message_start', message } as { type: string }),
    event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as { type: string }),
    ...Array.from({ length: EVENTS }, () => event(text(WORD))),
    event({ type: 'content_block_stop', index: 0 } as { type: string }),
    event({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: EVENTS },
    } as { type: string }),
    event({ type: 'message_stop' }),
  ]
}

const ANSWER = 'The weft goes over and under the warp. '.repeat(100)
const CHAT_ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: ANSWER }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 25_000, completion_tokens: 800, total_tokens: 25_800 },
})
const MESSAGE_ANSWER = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'm',
  content: [{ type: 'text', text: ANSWER }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 25_000, output_tokens: 800 },
})

const STREAM_BODIES = { '/v1/chat/completions': chatEvents(), '/v1/messages': messageEvents() } as const
const JSON_BODIES = { '/v1/chat/completions': CHAT_ANSWER, '/v1/messages': MESSAGE_ANSWER } as const

/** One event a turn of the loop: each is a packet of its own, as a model's tokens are. */
function drip(res: ServerResponse, events: readonly string[]): void {
  let at = 0
  const next = (): void => {
    if (res.destroyed) return
    if (at === events.length) {
      res.end()
      return
    }
    res.write(events[at++])
    setImmediate(next)
  }
  next()
}

const backend = createServer((req, res) => {
  const path = req.url as keyof typeof STREAM_BODIES
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => {
    const body = Buffer.concat(chunks).toString('latin1')
    if (!body.includes('"stream":true')) {
      res.setHeader('content-type', 'application/json')
      res.end(JSON_BODIES[path])
      return
    }
    res.setHeader('content-type', 'text/event-stream')
    if (body.includes('packed')) res.end(STREAM_BODIES[path].join(''))
    else drip(res, STREAM_BODIES[path])
  })
})

const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME })

/** Bytes of the answer. Throws for any status but 200. */
function ask(port: number, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const req = request(
      { port, host: '127.0.0.1', agent, method: 'POST', path: '/v1/chat/completions', headers },
      (res) => {
        let bytes = 0
        res.on('data', (chunk: Buffer) => {
          bytes += chunk.length
        })
        res.on('end', () => (res.statusCode === 200 ? resolve(bytes) : reject(new Error(`answered ${res.statusCode}`))))
      },
    )
    req.on('error', reject)
    req.end(body)
  })
}

const conversation = Array.from({ length: 100 }, (_, i) => ({
  role: i % 2 === 0 ? 'user' : 'assistant',
  content: `Turn ${i}: ${'the shuttle carries the weft through the shed. '.repeat(21)}`,
}))
conversation.push({ role: 'user', content: 'And now?' })

const stream = (model: string, text: string): string =>
  JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: text }] })
const whole = (model: string): string => JSON.stringify({ model, messages: conversation })

const CASES = {
  'stream, an event a packet': { bodies: [stream('same', 'x'), stream('other', 'x')], count: STREAMS, per: EVENTS },
  'stream, all in one packet': {
    bodies: [stream('same', 'packed'), stream('other', 'packed')],
    count: STREAMS,
    per: EVENTS,
  },
  'JSON, conversation of 100 KB': { bodies: [whole('same'), whole('other')], count: CALLS, per: 1 },
} as const
type Case = keyof typeof CASES

const quartile = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 4)] ?? NaN

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
let child: ChildProcess | null = null
const once = <T>(): Promise<T> => new Promise((resolve) => void child!.once('message', resolve as never))

async function measure(port: number, body: string, count: number): Promise<number> {
  child!.send('begin')
  await once()
  let left = count
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask(port, body)
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
  child!.send('end')
  return (await once<Measured>()).threadMicros
}

try {
  await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
  const at = (backend.address() as AddressInfo).port
  const file = join(folder, 'heddle.yaml')
  writeFileSync(
    file,
    `server: { workers: 1, log: { level: error, access: false } }
providers:
  same: { type: openai_compatible, base_url: "http://127.0.0.1:${at}/v1", class: mesh }
  other: { type: anthropic, base_url: "http://127.0.0.1:${at}/v1", api_key: k, class: mesh }
models: { same: same/m, other: other/m }
mesh: { kind: none }
`,
  )
  child = fork(join(import.meta.dirname, 'mesh-child.ts'), ['gateway', file])
  const { port } = await once<{ port: number }>()
  const names = Object.keys(CASES) as Case[]
  const found = new Map<Case, [number[], number[]]>(names.map((name) => [name, [[], []]]))
  /** One slice of a case: as it comes (0) or translated (1). Microseconds an event or a call. */
  const slice = async (name: Case, which: 0 | 1): Promise<number> => {
    const { bodies, count, per } = CASES[name]
    return (await measure(port, bodies[which], count)) / count / per
  }
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++)
    for (const name of names) {
      // Which goes first changes each round.
      const first = (round % 2) as 0 | 1
      const second = (1 - first) as 0 | 1
      const micros = [await slice(name, first), await slice(name, second)] as const
      if (round < WARM_ROUNDS) continue
      found.get(name)![first].push(micros[0])
      found.get(name)![second].push(micros[1])
    }
  console.log(`CPU of the thread that serves, microseconds an event or a call: lower quartile of ${ROUNDS} rounds\n`)
  console.log('| answer | as it comes | translated | ratio |\n|---|---|---|---|')
  const ratios = new Map<Case, number>()
  for (const name of names) {
    const [same, other] = found.get(name)!.map(quartile) as [number, number]
    ratios.set(name, other / same)
    console.log(`| ${name} | ${same.toFixed(2)} | ${other.toFixed(2)} | ${(other / same).toFixed(2)} × |`)
  }
  const streamed = ratios.get('stream, an event a packet')!
  const json = ratios.get('JSON, conversation of 100 KB')!
  const verdict = (ratio: number, bar: number): string =>
    `${ratio.toFixed(2)} × (bar ${bar}) ${ratio <= bar ? 'holds' : 'NOT MET'}`
  console.log(
    `\nbench:translation: stream ${verdict(streamed, STREAM_BAR)}; 100 KB JSON ${verdict(json, JSON_BAR)}; packed stream ${ratios.get('stream, all in one packet')!.toFixed(2)} ×`,
  )
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ ratios: Object.fromEntries(ratios), holds: streamed <= STREAM_BAR && json <= JSON_BAR }, null, 2)}\n`,
    )
} finally {
  child?.kill()
  backend.close()
  agent.destroy()
  rmSync(folder, { recursive: true, force: true })
}
