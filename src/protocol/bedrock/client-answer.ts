import type { JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder } from '../../contracts/dialect.ts'
import type { Block, TextBlock } from '../canonical/collect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import { argumentsObject } from '../canonical/say.ts'
import { bedrockUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import {
  callSignature,
  citationJson,
  metrics,
  reasoningSignature,
  redactedText,
  stopFields,
  stopReason,
} from './client-parts.ts'

/** A whole answer (`ConverseResponse`). The dialect has one choice; others are not told. */
export class ConverseAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const choice = this.at(0)
    const refused = choice.blocks.some((block) => block.type === 'refusal')
    return JSON.stringify({
      output: { message: { role: 'assistant', content: choice.blocks.flatMap(blockJson) } },
      stopReason: stopReason(choice.reason, refused),
      usage: bedrockUsage(this.used ?? NO_USAGE),
      metrics: metrics(this.#context),
      ...stopFields(this.#context, choice.sequence),
    })
  }
}

export const reasoningJson = (text: string, signature: string): JsonObject => ({
  reasoningContent: { reasoningText: { text, ...(signature === '' ? {} : { signature }) } },
})

function blockJson(block: Block): JsonObject[] {
  switch (block.type) {
    case 'text':
      return [textJson(block)]
    case 'refusal':
      return [{ text: block.text }]
    case 'tool_call': {
      const input = block.custom ? { raw_arguments: block.arguments } : argumentsObject(block.arguments)
      const call = { toolUse: { toolUseId: block.id, name: block.name, input } }
      if (block.signature === null) return [call]
      return [reasoningJson('', callSignature(block.id, block.signature)), call]
    }
    default:
      return block.redacted === null
        ? [reasoningJson(block.text, reasoningSignature(block))]
        : [{ reasoningContent: { redactedContent: redactedText(block.redacted) } }]
  }
}

function textJson({ text, citations }: TextBlock): JsonObject {
  const told = citations.map(citationJson).filter((citation) => citation !== null)
  return told.length === 0 ? { text } : { citationsContent: { content: [{ text }], citations: told } }
}
