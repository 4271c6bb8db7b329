/**
 * What the answer cache costs: `npm run bench:cache-cost -- [--rounds N] [--json FILE]`, about two minutes. CPU of the thread
 * that serves, by request: passed through, found, not found, found as a stream, and asked of the semantic tier; in one process
 * with the pass-through, slice by slice in turn. Then the verdict of the semantic tier among 10,000 entries, without a worker, what
 * an entry takes, and what the process grows by where a cache is on. Figures of one run are compared with each other only.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { keyMicros, questions, verdictFigures } from './cache-cost-verdict.ts'
import type { Measured } from './mesh-child.ts'
import { residentKb } from './proc.ts'

const CALLS = 1500
const AT_A_TIME = 8
const WARM_ROUNDS = 2
const ENTRIES = 10_000
const STARTS = 3
const START_CALLS = 300
const BARS = { keyMicros: 15, hitRatio: 0.8, p50Micros: 300, p99Micros: 1000, entryBytes: 500, rssMb: 40 } as const

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' }, json: { type: 'string' } } })
const ROUNDS = Number(values.rounds)

const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'The weft goes over. '.repeat(20) }, finish_reason: 'stop' },
  ],
  usage: { prompt_tokens: 150, completion_tokens: 100, total_tokens: 250 },
})
const SYSTEM = 'You answer questions of a town’s citizens, briefly and kindly. '.repeat(10)

const backend = createServer((req, res) => {
  req.resume().on('end', () => {
    res.setHeader('content-type', 'application/json')
    res.end(ANSWER)
  })
})
const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME })

function ask(port: number, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const to = { port, host: '127.0.0.1', agent, method: 'POST', path: '/v1/chat/completions', headers }
    const req = request(to, (res) => {
      res.resume()
      res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`answered ${res.statusCode}`))))
    })
    req.on('error', reject)
    req.end(body)
  })
}

const bodyOf = (model: string, content: string, more: object = {}) => ({
  model,
  messages: [
    { role: 'system', content: SYSTEM },
    { role: 'user', content },
  ],
  temperature: 0.2,
  ...more,
})
const fresh = questions(WARM_ROUNDS * CALLS * 2 + ROUNDS * CALLS * 2 + 10, 9)
let next = 0
const SAME = 'How do I apply for a library card?'
const CASES = {
  'passed through': () => bodyOf('pass', SAME),
  hit: () => bodyOf('exact', SAME),
  'hit, as a stream': () => bodyOf('exact', SAME, { stream: true }),
  miss: () => bodyOf('exact', fresh[next++]!),
  'semantic, not found': () => bodyOf('semantic', fresh[next++]!),
} as const
type Case = keyof typeof CASES
const names = Object.keys(CASES) as Case[]

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
const children = new Set<ChildProcess>()
const once = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve) => void child.once('message', resolve as never))

async function gateway(cache: string, models: string): Promise<{ child: ChildProcess; port: number }> {
  const { port: at } = backend.address() as AddressInfo
  const file = join(folder, `${children.size}.yaml`)
  writeFileSync(
    file,
    `server: { workers: 1, log: { level: error, access: false } }
providers: { p: { type: openai_compatible, base_url: "http://127.0.0.1:${at}/v1", class: mesh } }
models: ${models}
mesh: { kind: none }
${cache}
`,
  )
  const child = fork(join(import.meta.dirname, 'mesh-child.ts'), ['gateway', file, 'quiet'])
  children.add(child)
  const { port } = await once<{ port: number }>(child)
  return { child, port }
}

async function load(port: number, bodies: readonly string[]): Promise<void> {
  let at = 0
  const client = async (): Promise<void> => {
    while (at < bodies.length) await ask(port, bodies[at++]!)
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
}

/** Microseconds a request, by case. */
async function requests(): Promise<ReadonlyMap<Case, number>> {
  const targets = 'targets: [p/m]'
  const { child, port } = await gateway(
    'cache: { semantic: { inserts_per_minute: 1000000 } }',
    `{ pass: { ${targets}, cache: off }, exact: { ${targets} }, semantic: { ${targets}, cache: semantic } }`,
  )
  const found = new Map<Case, number[]>(names.map((name) => [name, []]))
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++)
    for (let i = 0; i < names.length; i++) {
      // Which goes first changes each round.
      const name = names[(i + round) % names.length]!
      const bodies = Array.from({ length: CALLS }, () => JSON.stringify(CASES[name]()))
      child.send('begin')
      await once(child)
      await load(port, bodies)
      child.send('end')
      const { threadMicros } = await once<Measured>(child)
      if (round >= WARM_ROUNDS) found.get(name)!.push(threadMicros / CALLS)
    }
  child.kill()
  return new Map([...found].map(([name, list]) => [name, median(list)]))
}

/** MB of a gateway that has answered some requests, by what its cache is. */
async function resident(cache: string): Promise<number> {
  const sizes: number[] = []
  for (let i = 0; i < STARTS; i++) {
    const { child, port } = await gateway(cache, '{ m: p/m }')
    await load(
      port,
      fresh.slice(0, START_CALLS).map((question) => JSON.stringify(bodyOf('m', question))),
    )
    sizes.push(residentKb(child.pid!) / 1024)
    child.kill()
  }
  return median(sizes)
}

try {
  await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
  const micros = await requests()
  const pass = micros.get('passed through')!
  console.log(`CPU of the thread that serves, microseconds a request: medians of ${ROUNDS} rounds of ${CALLS}\n`)
  console.log('| request | µs | beside the pass-through |\n|---|--:|--:|')
  for (const [name, value] of micros) console.log(`| ${name} | ${value.toFixed(1)} | ${(value / pass).toFixed(2)} × |`)
  const key = keyMicros(JSON.parse(JSON.stringify(bodyOf('exact', SAME))) as never)
  const verdict = verdictFigures(ENTRIES)
  console.log(
    `\nVerdict among ${ENTRIES} entries, no worker, µs: p50 ${verdict.p50.toFixed(0)}, p99 ${verdict.p99.toFixed(0)}`,
  )
  console.log(
    `(quietest slice: ${verdict.bestP50.toFixed(0)}, ${verdict.bestP99.toFixed(0)})\n\n| part | µs |\n|---|--:|`,
  )
  for (const [name, value] of Object.entries(verdict.parts)) console.log(`| ${name} | ${value.toFixed(1)} |`)
  const [none, exact, semantic] = [
    await resident(''),
    await resident('cache: {}'),
    await resident('cache: { mode: semantic }'),
  ]
  console.log(
    `\nResident after ${START_CALLS} requests, MB: no cache ${none.toFixed(0)}, exact ${exact.toFixed(0)}, semantic ${semantic.toFixed(0)}`,
  )
  console.log(
    `An entry beside its texts, bytes: vectors ${verdict.vectorBytes.toFixed(0)}, all that is held ${verdict.heapBytes.toFixed(0)}`,
  )
  const ratio = micros.get('hit')! / pass
  const bars = [
    [`key and look-up ${key.toFixed(1)} µs`, key, BARS.keyMicros],
    [`hit ${ratio.toFixed(2)} × a pass-through`, ratio, BARS.hitRatio],
    [`verdict p50 ${verdict.p50.toFixed(0)} µs`, verdict.p50, BARS.p50Micros],
    [`p99 ${verdict.p99.toFixed(0)} µs`, verdict.p99, BARS.p99Micros],
    [`vectors of an entry ${verdict.vectorBytes.toFixed(0)} B`, verdict.vectorBytes, BARS.entryBytes],
    [`semantic cache ${(semantic - none).toFixed(0)} MB`, semantic - none, BARS.rssMb],
  ] as const
  const told = bars.map(([text, value, bar]) => `${text} (bar ${bar}: ${value <= bar ? 'holds' : 'NOT MET'})`)
  console.log(`\nbench:cache-cost: ${told.join('; ')}`)
  if (values.json !== undefined) {
    const figures = {
      micros: Object.fromEntries(micros),
      keyMicros: key,
      verdict,
      residentMb: { none, exact, semantic },
    }
    writeFileSync(
      values.json,
      `${JSON.stringify({ ...figures, holds: bars.every(([, value, bar]) => value <= bar) }, null, 2)}\n`,
    )
  }
} finally {
  for (const child of children) child.kill()
  backend.close()
  agent.destroy()
  rmSync(folder, { recursive: true, force: true })
}
