/** The workload of bench/picker.ts: agents of some kinds, each conversation a long system prompt and turns that grow. */
import { Agent, request } from 'node:http'
import { BLOCK_TOKENS, blocksOf, TOKEN_CHARS } from '../src/sim/pod-engine.ts'
import { promptOf } from '../src/sim/pod.ts'
import { seededRandom } from '../src/sim/random.ts'

export interface LoadPlan {
  /** Unlike any other run's: nothing that caches or gateways remember of those helps. */
  readonly salt: string
  readonly seconds: number
  /** Conversations at a time. */
  readonly conversations: number
  readonly kinds: number
  readonly turns: number
  /** Characters of a kind's system prompt, and of what a turn adds. */
  readonly systemChars: number
  readonly turnChars: number
  readonly thinkMs: number
}

export interface LoadResult {
  /** Ms to the first token of each answer. */
  readonly firstTokens: number[]
  readonly answered: number
  failed: number
  /** Of the prompts' tokens those that one cache without bounds would have had, were all pods one. */
  readonly boundHit: number
  readonly boundQueried: number
}

/** What no choice of a pod can do better than: whatever any pod has computed is there for all, and for good. */
class OneCache {
  readonly #blocks = new Set<number>()
  hit = 0
  queried = 0

  /** Returns what is to be called when its first token is there: before that nobody can use what is being computed. */
  ask(messages: readonly object[]): () => void {
    const prompt = promptOf({ messages: messages as never })
    const tokens = Math.ceil(prompt.length / TOKEN_CHARS)
    const hashes = blocksOf(prompt)
    const unknown = hashes.findIndex((hash) => !this.#blocks.has(hash))
    this.queried += tokens
    this.hit += Math.min((unknown < 0 ? hashes.length : unknown) * BLOCK_TOKENS, tokens - 1)
    return () => {
      for (const hash of hashes) this.#blocks.add(hash)
    }
  }
}

const TEXT = 'The shuttle carries the weft through the shed while the reed beats it home. '
const fill = (name: string, chars: number): string =>
  `${name}: ${TEXT.repeat(Math.ceil(chars / TEXT.length))}`.slice(0, chars)
const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

const agent = new Agent({ keepAlive: true, maxSockets: 512 })

interface Turn {
  readonly ok: boolean
  readonly firstTokenMs: number
  readonly text: string
}

/** One streamed call; the text of its answer becomes part of the conversation. */
const ask = (port: number, messages: readonly object[], onFirst: () => void): Promise<Turn> =>
  new Promise((resolve) => {
    const begun = performance.now()
    const body = Buffer.from(JSON.stringify({ model: 'm', messages, stream: true, max_tokens: 16 }))
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    let first = -1
    let text = ''
    const fail = (): void => resolve({ ok: false, firstTokenMs: first, text: '' })
    const req = request(
      { agent, port, host: '127.0.0.1', method: 'POST', path: '/v1/chat/completions', headers },
      (res) => {
        res.setEncoding('utf8')
        res.on('data', (chunk: string) => {
          if (first < 0 && chunk.includes('data: ')) {
            first = performance.now() - begun
            onFirst()
          }
          text += chunk
        })
        res.on('error', fail)
        res.on('end', () => {
          const ok = res.statusCode === 200 && text.includes('data: [DONE]')
          resolve({ ok, firstTokenMs: first, text: ok ? contentOf(text) : '' })
        })
      },
    )
    req.on('error', fail)
    req.end(body)
  })

const contentOf = (sse: string): string => [...sse.matchAll(/"content":"([^"]*)"/g)].map((match) => match[1]).join('')

/** Conversations one after the other on each of so many lines, until the time is over; turns that began are waited for. */
export async function runLoad(port: number, plan: LoadPlan): Promise<LoadResult> {
  const { salt, seconds, conversations, kinds, turns, systemChars, turnChars, thinkMs } = plan
  const result = { firstTokens: [] as number[], answered: 0, failed: 0 }
  const bound = new OneCache()
  const systems = Array.from({ length: kinds }, (_, kind) => fill(`${salt} agent ${kind}`, systemChars))
  const end = performance.now() + seconds * 1000
  const line = async (index: number): Promise<void> => {
    const random = seededRandom(index + 1)
    // Not all begin at once.
    await pause((index / conversations) * 1500)
    for (let number = 0; performance.now() < end; number++) {
      const kind = Math.floor(random() ** 2 * kinds)
      const messages: object[] = [{ role: 'system', content: systems[kind] }]
      for (let turn = 0; turn < turns && performance.now() < end; turn++) {
        messages.push({ role: 'user', content: fill(`${index}.${number}.${turn}`, turnChars) })
        const { ok, firstTokenMs, text } = await ask(port, messages, bound.ask(messages))
        if (ok) {
          result.answered++
          result.firstTokens.push(firstTokenMs)
          messages.push({ role: 'assistant', content: text })
        } else {
          result.failed++
          messages.pop()
        }
        await pause(thinkMs * (0.5 + random()))
      }
    }
  }
  await Promise.all(Array.from({ length: conversations }, (_, index) => line(index)))
  return { ...result, boundHit: bound.hit, boundQueried: bound.queried }
}
