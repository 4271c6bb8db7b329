import type { StreamDialect } from '../openai/answer.ts'
import { answerScanner, eventData, parseSlot, SLOT, truthy } from '../openai/answer.ts'
import { readUsage } from '../usage.ts'

const OPEN_BRACE = 123
const OPEN_BRACKET = 91

interface Chunk {
  readonly candidates?: readonly {
    readonly content?: { readonly parts?: readonly unknown[] }
    readonly finishReason?: unknown
  }[]
  readonly promptFeedback?: { readonly blockReason?: unknown }
}

const chunkOf = (bytes: Buffer): Chunk => eventData(bytes) as Chunk
const refused = (chunk: Chunk): boolean => typeof chunk.promptFeedback?.blockReason === 'string'

/** Gemini streams (`alt=sse`) that pass as they come: no event ends them but the end itself, after a finish reason. */
export const geminiStream: StreamDialect = {
  done: false,
  endsByFinish: true,
  judge(bytes, committed) {
    if (truthy(SLOT.ERROR)) return 'error'
    if (answerScanner.kind(SLOT.PROMPT_FEEDBACK) === OPEN_BRACE && refused(chunkOf(bytes))) return 'content'
    if (answerScanner.kind(SLOT.CANDIDATES) !== OPEN_BRACKET) return 'note'
    if (committed) return 'content'
    const { candidates = [] } = chunkOf(bytes)
    return candidates.some((one) => (one.content?.parts?.length ?? 0) > 0) ? 'content' : 'start'
  },
  usage: (bytes, hints) =>
    answerScanner.kind(SLOT.USAGE_METADATA) === OPEN_BRACE
      ? readUsage(parseSlot(bytes, 0, SLOT.USAGE_METADATA), hints)
      : null,
  finished(bytes) {
    const chunk = chunkOf(bytes)
    if (refused(chunk)) return true
    const { candidates = [] } = chunk
    return candidates.length > 0 && candidates.every((one) => typeof one.finishReason === 'string')
  },
}
