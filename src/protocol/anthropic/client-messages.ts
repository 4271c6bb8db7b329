import type { ClientDialect } from '../../contracts/dialect.ts'
import { speaksAll, takesAll } from '../canonical/say.ts'
import { MessagesAnswer } from './client-answer.ts'
import { anthropicError } from './client-parts.ts'
import { messagesRequest } from './client-request.ts'
import { MessagesStream } from './client-stream.ts'

/** Anthropic Messages: checked against the types of the `@anthropic-ai/sdk` package 1.12. */
export const messagesClient: ClientDialect = {
  dialect: 'anthropic.messages',
  operation: 'chat',
  streamType: 'text/event-stream; charset=utf-8',
  request: messagesRequest,
  answer: (context) => new MessagesAnswer(context),
  stream: (context) => new MessagesStream(context),
  error: anthropicError,
  takes: takesAll({
    tool_custom: { mapped: 'as tool_use with the text under raw_arguments' },
    refusal: { mapped: 'as text, with stop_reason refusal' },
    citations: { mapped: 'as web_search_result_location; sources without a URL are left out' },
    logprobs: 'no',
    choices: 'no',
  }),
  speaks: speaksAll({
    message_name: 'no',
    image_detail: 'no',
    audio: 'no',
    tool_custom: 'no',
    tool_choice_allowed: 'no',
    json_object: 'no',
    min_p: 'no',
    frequency_penalty: 'no',
    presence_penalty: 'no',
    repetition_penalty: 'no',
    seed: 'no',
    n: 'no',
    logit_bias: 'no',
    logprobs: 'no',
    verbosity: 'no',
    audio_output: 'no',
    image_output: 'no',
    prediction: 'no',
    suffix: 'no',
    echo: 'no',
    user: { mapped: 'metadata.user_id' },
    metadata: 'no',
    store: 'no',
    prompt_cache_key: 'no',
    safety_identifier: 'no',
  }),
}
