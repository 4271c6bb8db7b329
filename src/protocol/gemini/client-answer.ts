import type { JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder } from '../../contracts/dialect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import type { CollectedChoice } from '../canonical/collect.ts'
import { geminiUsage } from '../canonical/usage-out.ts'
import { blockPart, finishReason, grounding, logprobsResult, showsThoughts } from './client-parts.ts'

/** A whole answer (google-genai `GenerateContentResponse`). */
export class GenerateAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const { model, requestId } = this.#context
    if (this.choices.length === 0) this.at(0)
    return JSON.stringify({
      candidates: this.choices.map((choice, index) => this.#candidate(choice, index)),
      ...(this.used === null ? {} : { usageMetadata: geminiUsage(this.used) }),
      modelVersion: model,
      responseId: this.id === '' ? requestId : this.id,
    })
  }

  #candidate(choice: CollectedChoice, index: number): JsonObject {
    const shows = showsThoughts(this.#context)
    const parts = choice.blocks.map((block) => blockPart(block, shows)).filter((part) => part !== null)
    return {
      // Google's own client drops a turn without parts from its history.
      content: { parts: parts.length > 0 ? parts : [{ text: '' }], role: 'model' },
      finishReason: finishReason(choice.finish),
      index,
      ...grounding(choice, choice.joined('text')),
      ...logprobsResult(choice.logprobs),
    }
  }
}
