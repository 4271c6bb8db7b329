import type { JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder } from '../../contracts/dialect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import type { Block, CollectedChoice } from '../canonical/collect.ts'
import { cohereUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import { callArguments, citationJson, finishReason, logprobItem } from './client-parts.ts'

/** A content of the message, and how many characters of the answer stand before it. */
interface Content {
  readonly type: 'text' | 'thinking'
  text: string
  readonly from: number
}

/** A whole answer of /v2/chat (cohere-ai `V2ChatResponse`). The dialect has one choice; others are not told. */
export class CohereAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const choice = this.at(0)
    return JSON.stringify({
      id: this.id || this.#context.requestId,
      finish_reason: finishReason(choice.reason),
      message: messageOf(choice),
      usage: cohereUsage(this.used ?? NO_USAGE),
      ...(choice.logprobs.length === 0 ? {} : { logprobs: choice.logprobs.map((entry) => logprobItem([entry])) }),
    })
  }
}

function messageOf({ blocks }: CollectedChoice): JsonObject {
  const told = new Told()
  for (const block of blocks) told.add(block)
  const { contents, calls, citations } = told
  // Clients look for the first text, whatever they were told.
  if (contents.length === 0 && calls.length === 0) contents.push({ type: 'text', text: '', from: 0 })
  return {
    role: 'assistant',
    ...(contents.length === 0
      ? {}
      : { content: contents.map(({ type, text }): JsonObject => ({ type, [type]: text })) }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(citations.length === 0 ? {} : { citations }),
  }
}

/** Neighbours of one kind are one content, so that a text stands in one piece however many sources it has. */
class Told {
  readonly contents: Content[] = []
  readonly calls: JsonObject[] = []
  readonly citations: JsonObject[] = []
  #open = false
  #length = 0

  add(block: Block): void {
    switch (block.type) {
      case 'tool_call':
        this.#open = false
        this.calls.push({
          id: block.id,
          type: 'function',
          function: { name: block.name, arguments: callArguments(block.arguments, block.custom) },
        })
        return
      case 'reasoning':
        this.#content('thinking', block.text)
        return
      case 'refusal':
        this.#content('text', block.text)
        return
      default: {
        const passage = this.#length
        const content = this.#content('text', block.text) ?? this.contents.findLast(({ type }) => type === 'text')
        const index = content === undefined ? 0 : this.contents.indexOf(content)
        const cited = { text: content?.text ?? '', index, from: content?.from ?? 0, passage }
        for (const one of block.citations) this.citations.push(citationJson(one, cited, this.citations.length))
      }
    }
  }

  /** The content that the text went to; null = there was no text. */
  #content(type: Content['type'], text: string): Content | null {
    if (text === '') return null
    let last = this.contents.at(-1)
    if (this.#open && last?.type === type) last.text += text
    else {
      last = { type, text, from: this.#length }
      this.contents.push(last)
      this.#open = true
    }
    if (type === 'text') this.#length += text.length
    return last
  }
}
