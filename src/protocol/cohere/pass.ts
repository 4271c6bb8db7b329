import type { EventVerdict, StreamDialect } from '../openai/answer.ts'
import { answerScanner, eventData, eventType, isErrorEvent, parseSlot, SLOT } from '../openai/answer.ts'
import { fieldsOf, textOf } from '../canonical/loose.ts'
import { readUsage } from '../usage.ts'

const OPEN_BRACE = 123

const VERDICTS: Readonly<Record<string, EventVerdict>> = {
  'message-start': 'start',
  'content-start': 'start',
  'content-delta': 'content',
  'tool-plan-delta': 'content',
  'tool-call-start': 'content',
  'tool-call-delta': 'content',
  'citation-start': 'content',
  'message-end': 'end',
  error: 'error',
}

const deltaOf = (bytes: Buffer) =>
  answerScanner.kind(SLOT.DELTA) === OPEN_BRACE ? fieldsOf(parseSlot(bytes, 0, SLOT.DELTA)) : {}

/** Streams of /v2/chat that pass as they come (cohere-ai `V2ChatStreamResponse`). What ends one may also say that it failed. */
export const cohereStream: StreamDialect = {
  done: false,
  judge(bytes) {
    if (isErrorEvent(bytes)) return 'error'
    const type = eventType(bytes)
    if (type === 'message-end') return textOf(deltaOf(bytes)['error']) === '' ? 'end' : 'error'
    if (type === '' && typeof fieldsOf(eventData(bytes))['message'] === 'string') return 'error'
    return VERDICTS[type] ?? 'note'
  },
  usage(bytes, hints) {
    if (eventType(bytes) !== 'message-end') return null
    const { usage } = deltaOf(bytes)
    return usage === undefined ? null : readUsage(usage, hints)
  },
  fault(bytes) {
    const { error } = deltaOf(bytes)
    return error === undefined ? undefined : { message: error }
  },
  finished: () => false,
}
