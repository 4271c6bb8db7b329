import type { ClientDialect } from '../../contracts/dialect.ts'
import { speaksAll, takesAll } from '../canonical/say.ts'
import { ResponsesAnswer } from './client-responses-answer.ts'
import { responsesRequest } from './client-responses-request.ts'
import { ResponsesStream } from './client-responses-stream.ts'
import { errorJson } from './errors.ts'

/** OpenAI Responses: openai-openapi, checked against the `openai` package 7.57. */
export const responsesClient: ClientDialect = {
  dialect: 'openai.responses',
  operation: 'responses',
  streamType: 'text/event-stream; charset=utf-8',
  request: responsesRequest,
  answer: (context) => new ResponsesAnswer(context),
  stream: (context) => new ResponsesStream(context),
  error: errorJson,
  takes: takesAll({
    citations: { mapped: 'as url_citation; sources without a URL are left out' },
    choices: 'no',
    stop_sequence: { mapped: 'as completed, without saying which' },
  }),
  speaks: speaksAll({
    message_name: 'no',
    tool_result_error: 'no',
    reasoning_budget: 'no',
    top_k: 'no',
    min_p: 'no',
    frequency_penalty: 'no',
    presence_penalty: 'no',
    repetition_penalty: 'no',
    seed: 'no',
    stop: 'no',
    n: 'no',
    logit_bias: 'no',
    audio_output: 'no',
    image_output: 'no',
    prediction: 'no',
    suffix: 'no',
    echo: 'no',
  }),
}
