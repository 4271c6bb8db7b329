import type { ChatRequest, Json, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder, ClientDialect } from '../../contracts/dialect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import type { CollectedChoice } from '../canonical/collect.ts'
import { badField, compact, maybeFlag, maybeText, maybeWhole } from '../canonical/read.ts'
import { fieldNames, notYet, prefixed, speaksAll, takesAll, unknownFields } from '../canonical/say.ts'
import { chatUsage } from '../canonical/usage-out.ts'
import { common, sampling } from './client-chat-request.ts'
import { completionReason, legacyLogprobs } from './client-completions-parts.ts'
import { CompletionsStream } from './client-completions-stream.ts'
import { errorJson } from './errors.ts'

const KNOWN = fieldNames(`
  model prompt suffix echo best_of logprobs max_tokens temperature top_p top_k min_p frequency_penalty presence_penalty
  repetition_penalty seed stop n logit_bias stream stream_options user metadata service_tier store prompt_cache_key
  safety_identifier
`)

/** Reads a legacy completion request (openai-openapi `CreateCompletionRequest`): the prompt is what the user says. */
function completionsRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  if ((maybeWhole(sent['best_of'], 'best_of', 1) ?? 1) > 1) throw notYet('best_of', 'answers are not compared')
  const count = maybeWhole(sent['logprobs'], 'logprobs')
  if (count !== undefined && count > 20) throw badField('logprobs', 'from 0 to 20')
  return compact<ChatRequest>({
    model,
    messages: [{ role: 'user', parts: [{ type: 'text', text: promptOf(sent['prompt']) }] }],
    stream,
    maxTokens: maybeWhole(sent['max_tokens'], 'max_tokens', 1),
    logprobs: count === undefined ? undefined : true,
    topLogprobs: count,
    suffix: maybeText(sent['suffix'], 'suffix'),
    echo: maybeFlag(sent['echo'], 'echo'),
    unknown: unknownFields(sent, KNOWN),
    ...sampling(sent),
    ...common(sent),
    ...NOT_SPOKEN,
  })
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  tools: undefined,
  serverTools: undefined,
  toolChoice: undefined,
  parallelTools: undefined,
  format: undefined,
  reasoning: undefined,
  verbosity: undefined,
  modalities: undefined,
  audio: undefined,
  prediction: undefined,
} as const

function promptOf(prompt: Json | undefined): string {
  if (typeof prompt === 'string') return prompt
  if (!Array.isArray(prompt)) throw badField('prompt', 'a string')
  const [only] = prompt
  if (prompt.length === 1 && typeof only === 'string') return only
  if (typeof only === 'string') throw notYet('prompt', 'one prompt at a time; send one request for each')
  throw notYet('prompt', 'tokens mean another text to every model; send the text')
}

/** A whole completion (openai-openapi `CreateCompletionResponse`). */
class CompletionsAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const { requestId, model, created } = this.#context
    if (this.choices.length === 0) this.at(0)
    return JSON.stringify({
      id: prefixed('cmpl-', this.id, requestId),
      object: 'text_completion',
      created,
      model,
      choices: this.choices.map(choiceJson),
      ...(this.used === null ? {} : { usage: chatUsage(this.used) }),
    })
  }
}

function choiceJson(choice: CollectedChoice, index: number): JsonObject {
  let text = ''
  for (const block of choice.blocks) if (block.type === 'text' || block.type === 'refusal') text += block.text
  return {
    index,
    text,
    logprobs: choice.logprobs.length > 0 ? legacyLogprobs(choice.logprobs, 0) : null,
    finish_reason: completionReason(choice.finish),
  }
}

/** OpenAI's legacy completions: openai-openapi, checked against the `openai` package 7.57. */
export const completionsClient: ClientDialect = {
  dialect: 'openai.completions',
  operation: 'completions',
  streamType: 'text/event-stream; charset=utf-8',
  request: completionsRequest,
  answer: (context) => new CompletionsAnswer(context),
  stream: (context) => new CompletionsStream(context),
  error: errorJson,
  takes: takesAll({
    tool_calls: 'no',
    tool_custom: 'no',
    reasoning: 'no',
    reasoning_proof: 'no',
    refusal: { mapped: 'as text' },
    citations: 'no',
    stop_sequence: { mapped: 'as stop, without saying which' },
  }),
  speaks: speaksAll({
    system: 'no',
    system_inside: 'no',
    message_name: 'no',
    prefill: 'no',
    image_base64: 'no',
    image_url: 'no',
    image_detail: 'no',
    audio: 'no',
    file_base64: 'no',
    file_url: 'no',
    file_id: 'no',
    tools: 'no',
    tool_strict: 'no',
    tool_custom: 'no',
    tool_choice: 'no',
    tool_choice_named: 'no',
    tool_choice_allowed: 'no',
    single_tool_call: 'no',
    tool_result_error: 'no',
    tool_result_media: 'no',
    server_tools: 'no',
    native_parts: 'no',
    reasoning_effort: 'no',
    reasoning_budget: 'no',
    reasoning_history: 'no',
    reasoning_proof: 'no',
    json_object: 'no',
    json_schema: 'no',
    verbosity: 'no',
    audio_output: 'no',
    image_output: 'no',
    prediction: 'no',
    cache_marks: 'no',
  }),
}
