import type { Usage } from '../../contracts/usage.ts'
import { addUsages, NO_USAGE, readAnswer, type UsageHints } from '../../protocol/usage.ts'

/** Events that say what was used: OpenAI's (a response, a transcript), and all of Gemini's that have counts. */
const SAYS_USAGE: readonly Buffer[] = ['"usage"', '"usageMetadata"'].map((name) => Buffer.from(name))
/** Parts of an answer on its way: of OpenAI's events and of Gemini's. */
const DELTA: readonly Buffer[] = ['.delta"', '"modelTurn"'].map((name) => Buffer.from(name))

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

const parse = (data: Buffer): Record<string, unknown> => {
  try {
    return record(JSON.parse(data.toString()))
  } catch {
    return {}
  }
}

/** Counts what a session uses by what its backend says, in messages that go on unchanged. */
export class RealtimeUsage {
  readonly #hints: UsageHints
  #total: Usage | null = null
  /** Parts of an answer that nobody has counted yet. */
  #parts = 0
  #lastInput = 0

  constructor(hints: UsageHints) {
    this.#hints = hints
  }

  /** A text message of the backend. True = it has said that more was used. */
  read(data: Buffer): boolean {
    // Names stand unescaped in what backends write; in texts that are quoted within, the quotes are escaped.
    if (!SAYS_USAGE.some((name) => data.includes(name))) {
      if (DELTA.some((name) => data.includes(name))) this.#parts++
      return false
    }
    const event = parse(data)
    const usage = readAnswer(event, this.#hints)
    if (usage === null) return false
    this.#total = addUsages(this.#total, usage)
    this.#lastInput = usage.inputTokens
    this.#parts = 0
    return true
  }

  /**
   * All of it. Whoever leaves in the middle of an answer pays for what came of it: its parts, about a token each, and what
   * the one before it had to read.
   */
  get total(): Usage {
    const counted = this.#total ?? NO_USAGE
    return this.#parts === 0
      ? counted
      : {
          ...counted,
          inputTokens: counted.inputTokens + this.#lastInput,
          outputTokens: counted.outputTokens + this.#parts,
        }
  }
}

/** Gemini Live names its model in the first message (ai.google.dev/api/live `BidiGenerateContentSetup`); '' = it does not. */
export function modelOfSetup(data: Buffer): string {
  const { model } = record(parse(data)['setup'])
  return typeof model === 'string' ? model.replace(/^models\//, '') : ''
}
