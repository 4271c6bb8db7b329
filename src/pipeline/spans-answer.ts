import type { AnswerParts } from '../contracts/trace.ts'

/** What an answer says of itself near its beginning and its end. */
export interface AnswerFacts {
  /** '' = not found. */
  readonly id: string
  readonly model: string
  readonly tier: string
  readonly finishReason: string
}

/** Both ends of an answer hold what is looked for, bytes: the fields of the envelope come first, the reasons last. */
const HEAD = 1024
const TAIL = 2048
const MAX_VALUE = 256
const QUOTE = 34

/** Text of the field after its last (or first) mention; '' = none, or no plain text. */
function fieldIn(text: string, name: string, last: boolean): string {
  const at = last ? text.lastIndexOf(name) : text.indexOf(name)
  if (at < 0) return ''
  let from = at + name.length
  while (text[from] === ' ' || text[from] === ':') from++
  if (text.charCodeAt(from) !== QUOTE) return ''
  const end = text.indexOf('"', from + 1)
  const value = end < 0 || end - from > MAX_VALUE ? '' : text.slice(from + 1, end)
  return value.includes('\\') ? '' : value
}

/** Found by their names and not parsed: of a large answer only its ends are looked at. */
/** Of chat, Messages, Gemini and Ollama. */
const FINISH = ['"finish_reason"', '"stop_reason"', '"finishReason"', '"done_reason"'] as const

export function answerFacts({ first, last }: AnswerParts): AnswerFacts {
  if (first === null) return { id: '', model: '', tier: '', finishReason: '' }
  const head = first.toString('latin1', 0, Math.min(first.length, HEAD))
  const end = last ?? first
  const tail = end.toString('latin1', Math.max(0, end.length - TAIL))
  return {
    id: fieldIn(head, '"id"', false),
    model: fieldIn(head, '"model"', false),
    tier: fieldIn(tail, '"service_tier"', true),
    finishReason: FINISH.map((name) => fieldIn(tail, name, true)).find((found) => found !== '') ?? '',
  }
}
