import type { JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder } from '../../contracts/dialect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import type { CollectedChoice } from '../canonical/collect.ts'
import { prefixed } from '../canonical/say.ts'
import { chatUsage } from '../canonical/usage-out.ts'
import {
  annotations,
  chatReason,
  detailsJson,
  hidesReasoning,
  isLegacy,
  logprobsJson,
  toolCallJson,
} from './client-chat-parts.ts'

/** A whole chat completion (openai-openapi `CreateChatCompletionResponse`). */
export class ChatAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const { requestId, model, created } = this.#context
    // An answer in which nothing was told is still an answer: an empty one.
    if (this.choices.length === 0) this.at(0)
    return JSON.stringify({
      id: prefixed('chatcmpl-', this.id, requestId),
      object: 'chat.completion',
      created,
      model,
      choices: this.choices.map((choice, index) => this.#choice(choice, index)),
      ...(this.used === null ? {} : { usage: chatUsage(this.used) }),
    })
  }

  #choice(choice: CollectedChoice, index: number): JsonObject {
    const legacy = isLegacy(this.#context)
    const reason = chatReason(choice)
    return {
      index,
      message: this.#message(choice, legacy),
      logprobs: choice.logprobs.length > 0 ? logprobsJson(choice.logprobs) : null,
      finish_reason: legacy && reason === 'tool_calls' ? 'function_call' : reason,
    }
  }

  #message(choice: CollectedChoice, legacy: boolean): JsonObject {
    const text = choice.joined('text')
    const refusal = choice.joined('refusal')
    const cited = choice.blocks.flatMap((block) =>
      block.type === 'text' ? annotations(block.citations, block.from, block.from + block.text.length) : [],
    )
    const hidden = hidesReasoning(this.#context)
    const thought = hidden ? '' : choice.joined('reasoning')
    const details = hidden ? [] : detailsJson(choice)
    const calls = choice.blocks.filter((block) => block.type === 'tool_call')
    const first = calls[0]
    return {
      role: 'assistant',
      content: text === '' && (first !== undefined || refusal !== '') ? null : text,
      refusal: refusal === '' ? null : refusal,
      ...(thought === '' ? {} : { reasoning_content: thought }),
      ...(details.length > 0 ? { reasoning_details: details } : {}),
      ...(first === undefined
        ? {}
        : legacy
          ? { function_call: { name: first.name, arguments: first.arguments } }
          : { tool_calls: calls.map(toolCallJson) }),
      ...(cited.length > 0 ? { annotations: cited } : {}),
    }
  }
}
