import type { Usage } from '../../contracts/usage.ts'
import type { EventVerdict, StreamDialect } from '../openai/answer.ts'
import { answerScanner, eventType, isErrorEvent, parseSlot, SLOT } from '../openai/answer.ts'
import { readUsage } from '../usage.ts'

const OPEN_BRACE = 123

const VERDICTS: Readonly<Record<string, EventVerdict>> = {
  message_start: 'start',
  content_block_start: 'start',
  content_block_delta: 'content',
  message_delta: 'usage',
  message_stop: 'end',
  error: 'error',
}

/** A block that is something by itself: a call, a result of a server's tool. Texts and thoughts begin empty. */
function blockHasContent(bytes: Buffer): boolean {
  if (answerScanner.kind(SLOT.CONTENT_BLOCK) !== OPEN_BRACE) return false
  const { type } = parseSlot(bytes, 0, SLOT.CONTENT_BLOCK) as { readonly type?: unknown }
  return type !== 'text' && type !== 'thinking'
}

/** Messages streams that pass as they come (anthropic-sdk-typescript `RawMessageStreamEvent`). */
export const messagesStream: StreamDialect = {
  done: false,
  judge(bytes, committed) {
    if (isErrorEvent(bytes)) return 'error'
    const type = eventType(bytes)
    if (type === 'content_block_start' && !committed) return blockHasContent(bytes) ? 'content' : 'start'
    return VERDICTS[type] ?? 'note'
  },
  usage(bytes, hints) {
    if (answerScanner.kind(SLOT.USAGE) === OPEN_BRACE) return readUsage(parseSlot(bytes, 0, SLOT.USAGE), hints)
    if (answerScanner.kind(SLOT.MESSAGE) !== OPEN_BRACE) return null
    return readUsage((parseSlot(bytes, 0, SLOT.MESSAGE) as { readonly usage?: unknown }).usage, hints)
  },
  finished: () => false,
  /** The beginning counts the prompt, the end the answer; newer versions count all at the end. */
  merge: (before, now): Usage =>
    now.inputTokens > 0
      ? { ...now, tier: now.tier || before.tier }
      : { ...before, outputTokens: now.outputTokens, reasoningTokens: now.reasoningTokens, searches: now.searches },
}
