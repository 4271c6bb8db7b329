import type { RedisStore } from '../store/redis.ts'
import { RESERVE } from './redis-scripts.ts'

/** What one request asks of the counters that one script can see. */
export interface Question {
  readonly keys: readonly string[]
  /** Appends the arguments of its counters; called when it leaves, and only then are amounts in its account's books. */
  addTo(args: (string | number)[]): void
}

export interface Reply {
  /** ms by Redis' clock. */
  readonly now: number
  /** Number of the question among all that this instance has told Redis. */
  readonly seq: number
  /** 1 = taken, 0 = refused, -1 = out of order; then for each key: left, ms until all is back, ms to wait. */
  readonly list: readonly number[]
}

interface Waiting {
  readonly question: Question
  readonly resolve: (reply: Reply | null) => void
  seq: number
}

/** Questions in one script: Redis does nothing else meanwhile. */
const MAX_QUESTIONS = 32

export interface BatchParts {
  readonly store: RedisStore
  readonly instance: string
  readonly leaseMs: number
  /** Numbers of commands of the instance: each greater than all before. */
  readonly nextSeq: () => number
}

/**
 * Questions that come in one turn of the event loop leave together, for counters of one slot: a command costs this process
 * more than a question does.
 */
export class ReserveBatch {
  readonly #parts: BatchParts
  #waiting: Waiting[] = []

  constructor(parts: BatchParts) {
    this.#parts = parts
  }

  /** null = it could not be asked in time; whether it was carried out nobody knows. */
  ask(question: Question): Promise<Reply | null> {
    return new Promise((resolve) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#leave())
      this.#waiting.push({ question, resolve, seq: 0 })
    })
  }

  #leave(): void {
    const all = this.#waiting
    this.#waiting = []
    for (let from = 0; from < all.length; from += MAX_QUESTIONS)
      this.#send(all.length <= MAX_QUESTIONS ? all : all.slice(from, from + MAX_QUESTIONS))
  }

  #send(asked: readonly Waiting[]): void {
    const { store, instance, leaseMs, nextSeq } = this.#parts
    const keys: string[] = []
    const args: (string | number)[] = [instance, leaseMs, 0]
    for (const one of asked) {
      one.seq = nextSeq()
      args.push(one.seq, one.question.keys.length)
      one.question.addTo(args)
      for (const key of one.question.keys) keys.push(key)
    }
    store.run(RESERVE, keys, args).then(
      (value) => {
        const answer = value as [number, ...number[][]]
        const now = answer[0]
        store.sawTime(now)
        for (let i = 0; i < asked.length; i++) {
          const { resolve, seq } = asked[i]!
          resolve({ now, seq, list: answer[i + 1] as number[] })
        }
      },
      () => {
        for (const { resolve } of asked) resolve(null)
      },
    )
  }
}
