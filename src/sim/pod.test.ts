import { describe, expect, test } from 'vitest'
import { PodEngine, type PodOptions } from './pod-engine.ts'
import { parsePodOptions, podOptionsText } from './pod-options.ts'

/** Time by hand: what is to come, in order. */
class Later {
  now = 0
  #due: { readonly at: number; readonly run: () => void }[] = []
  readonly after = (ms: number, run: () => void): void => void this.#due.push({ at: this.now + ms, run })
  pass(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const next = this.#due.toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#due = this.#due.filter((one) => one !== next)
      this.now = next.at
      next.run()
    }
    this.now = end
  }
}

const engineOf = (options: PodOptions = {}): { engine: PodEngine; later: Later } => {
  const later = new Later()
  return { later, engine: new PodEngine({ prefillRate: 1000, stepMs: 10, stepMsEach: 0, ...options }, later.after) }
}

interface Seen {
  firstAt: number
  cached: number
  endAt: number
  cancel: () => void
}

const submit = ({ engine, later }: ReturnType<typeof engineOf>, prompt: string, tokens = 2): Seen => {
  const seen: Seen = { firstAt: -1, cached: -1, endAt: -1, cancel: () => {} }
  const sequence = engine.submit('m', prompt, tokens, {
    first: (cached) => {
      seen.firstAt = later.now
      seen.cached = cached
    },
    token: () => {},
    end: () => {
      seen.endAt = later.now
    },
  })
  seen.cancel = () => sequence.cancel()
  return seen
}

/** 64 characters are a block, four a token. */
const prompt = (name: string, blocks: number): string => name.repeat(64 * blocks).slice(0, 64 * blocks)

describe('the engine of a pod', () => {
  test('what of a prompt is cached is not computed again', () => {
    const pod = engineOf()
    const first = submit(pod, prompt('a', 10))
    pod.later.pass(1000)
    expect(first).toMatchObject({ firstAt: 170, cached: 0, endAt: 180 })
    const second = submit(pod, prompt('a', 10) + prompt('b', 5))
    pod.later.pass(1000)
    expect(second).toMatchObject({ firstAt: 1000 + 10 + 80, cached: 160 })
    expect(pod.engine.stats()).toMatchObject({ queriedTokens: 160 + 240, hitTokens: 160, finished: 2, running: 0 })
  })

  test('least recently used goes first when the cache is full', () => {
    const pod = engineOf({ blocks: 24 })
    for (const name of ['a', 'b', 'a', 'c']) {
      submit(pod, prompt(name, 8), 1)
      pod.later.pass(1000)
    }
    const a = submit(pod, prompt('a', 8) + 'x', 1)
    pod.later.pass(1000)
    const b = submit(pod, prompt('b', 8) + 'x', 1)
    pod.later.pass(1000)
    expect(a.cached).toBe(128)
    expect(b.cached).toBeLessThan(128)
  })

  test('a full batch lets others wait, in order; who leaves makes room', () => {
    const pod = engineOf({ maxRunning: 1 })
    const [one, two, three] = [submit(pod, 'a', 100), submit(pod, 'b', 1), submit(pod, 'c', 1)]
    expect(pod.engine.stats()).toMatchObject({ running: 1, waiting: 2 })
    two.cancel()
    pod.later.pass(50)
    one.cancel()
    pod.later.pass(100)
    expect(two.firstAt).toBe(-1)
    expect(three.endAt).toBeGreaterThan(0)
    expect(pod.engine.stats()).toMatchObject({ running: 0, waiting: 0, kv: 0 })
  })

  test('a slow one takes so many times as long, a faster clock less; answers depend on prompt and seed', () => {
    const [plain, slow, fast] = [engineOf(), engineOf({ slow: 3 }), engineOf({ timeScale: 10 })]
    const seen = [plain, slow, fast].map((pod) => submit(pod, prompt('a', 10)))
    for (const pod of [plain, slow, fast]) pod.later.pass(2000)
    expect(seen.map(({ firstAt }) => Math.round(firstAt))).toEqual([170, 510, 17])
    const answer = (options: PodOptions, text: string): string =>
      engineOf(options).engine.submit('m', text, 8, { first() {}, token() {}, end() {} }).answer
    expect(answer({}, 'x')).toBe(answer({}, 'x'))
    expect(answer({ seed: 2 }, 'x')).not.toBe(answer({}, 'x'))
    expect(answer({}, 'y')).not.toBe(answer({}, 'x'))
  })
})

describe('options as text', () => {
  test('are read, and mistakes named', () => {
    expect(parsePodOptions('blocks=8; slow=2.5;die_after=1.5s')).toEqual({ blocks: 8, slow: 2.5, dieAfterMs: 1500 })
    expect(() => parsePodOptions('bloks=8')).toThrow("no option 'bloks'")
    expect(() => parsePodOptions('blocks=1.5')).toThrow("'blocks' wants an integer")
    expect(() => parsePodOptions('die_after=5')).toThrow('a duration')
    expect(podOptionsText()).toContain('max_running')
  })
})
