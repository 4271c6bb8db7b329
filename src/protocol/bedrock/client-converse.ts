import type { ClientDialect } from '../../contracts/dialect.ts'
import { speaksAll, takesAll } from '../canonical/say.ts'
import { ConverseAnswer } from './client-answer.ts'
import { converseError } from './client-parts.ts'
import { converseRequest } from './client-request.ts'
import { ConverseStream } from './client-stream.ts'

const OWN_WORDS = { mapped: 'in additionalModelRequestFields, as most models call it' }

/** Bedrock Converse: checked against the schemas of the `@aws-sdk/client-bedrock-runtime` package 3.1164. */
export const converseClient: ClientDialect = {
  dialect: 'bedrock.converse',
  operation: 'converse',
  streamType: 'application/vnd.amazon.eventstream',
  request: converseRequest,
  answer: (context) => new ConverseAnswer(context),
  stream: (context) => new ConverseStream(context),
  error: converseError,
  takes: takesAll({
    tool_custom: { mapped: 'as toolUse with the text under raw_arguments' },
    refusal: { mapped: 'as text, with stopReason content_filtered' },
    citations: { mapped: 'as citationsContent; sources without URL and title are left out' },
    logprobs: 'no',
    choices: 'no',
    stop_sequence: { mapped: 'as additionalModelResponseFields, where their path is asked for' },
    reasoning_tokens: 'no',
  }),
  speaks: speaksAll({
    message_name: 'no',
    image_url: 'no',
    image_detail: 'no',
    file_url: 'no',
    file_id: 'no',
    tool_custom: 'no',
    tool_choice: { mapped: '`any`; there is no `none`' },
    tool_choice_allowed: 'no',
    single_tool_call: 'no',
    reasoning_effort: { mapped: 'outputConfig.effort, or the model’s own field in additionalModelRequestFields' },
    reasoning_budget: { mapped: 'additionalModelRequestFields.thinking' },
    json_object: 'no',
    json_schema: { mapped: 'outputConfig.textFormat' },
    top_k: OWN_WORDS,
    min_p: OWN_WORDS,
    frequency_penalty: OWN_WORDS,
    presence_penalty: OWN_WORDS,
    repetition_penalty: OWN_WORDS,
    seed: OWN_WORDS,
    n: 'no',
    logit_bias: 'no',
    logprobs: 'no',
    verbosity: 'no',
    audio_output: 'no',
    image_output: 'no',
    prediction: 'no',
    suffix: 'no',
    echo: 'no',
    cache_marks: { mapped: 'cachePoint' },
    user: 'no',
    metadata: { mapped: 'requestMetadata' },
    store: 'no',
    prompt_cache_key: 'no',
    safety_identifier: 'no',
  }),
}
