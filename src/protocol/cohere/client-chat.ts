import type { ClientDialect } from '../../contracts/dialect.ts'
import { speaksAll, takesAll } from '../canonical/say.ts'
import { CohereAnswer } from './client-answer.ts'
import { cohereError } from './client-parts.ts'
import { cohereChatRequest } from './client-request.ts'
import { CohereStream } from './client-stream.ts'

/** Cohere's chat API, POST /v2/chat: checked against the types of the `cohere-ai` package 8.1. */
export const cohereClient: ClientDialect = {
  dialect: 'cohere.chat',
  operation: 'cohere_chat',
  streamType: 'text/event-stream; charset=utf-8',
  request: cohereChatRequest,
  answer: (context) => new CohereAnswer(context),
  stream: (context) => new CohereStream(context),
  error: cohereError,
  takes: takesAll({
    tool_custom: { mapped: 'as a call with the text under raw_arguments' },
    reasoning_proof: 'no',
    refusal: { mapped: 'as text' },
    logprobs: { mapped: 'of the tokens chosen, without their ids' },
    choices: 'no',
    stop_sequence: { mapped: 'as STOP_SEQUENCE, without saying which' },
    cache_write_tokens: 'no',
    reasoning_tokens: 'no',
  }),
  speaks: speaksAll({
    message_name: 'no',
    audio: 'no',
    file_base64: 'no',
    file_url: 'no',
    file_id: 'no',
    tool_strict: { mapped: 'strict_tools, of all tools' },
    tool_custom: 'no',
    tool_choice_named: 'no',
    tool_choice_allowed: 'no',
    single_tool_call: 'no',
    tool_result_error: 'no',
    tool_result_media: 'no',
    server_tools: 'no',
    native_parts: 'no',
    reasoning_effort: { mapped: 'thinking.token_budget' },
    reasoning_proof: 'no',
    min_p: 'no',
    repetition_penalty: 'no',
    n: 'no',
    logit_bias: 'no',
    logprobs: { mapped: 'of the tokens chosen' },
    verbosity: 'no',
    audio_output: 'no',
    image_output: 'no',
    prediction: 'no',
    suffix: 'no',
    echo: 'no',
    cache_marks: 'no',
    user: 'no',
    metadata: 'no',
    service_tier: 'no',
    store: 'no',
    prompt_cache_key: 'no',
    safety_identifier: 'no',
  }),
}
