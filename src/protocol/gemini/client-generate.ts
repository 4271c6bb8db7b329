import type { ClientDialect } from '../../contracts/dialect.ts'
import { speaksAll, takesAll } from '../canonical/say.ts'
import { GenerateAnswer } from './client-answer.ts'
import { geminiError } from './client-parts.ts'
import { generateRequest } from './client-request.ts'
import { GenerateStream } from './client-stream.ts'

/** Gemini generateContent: checked against the types and the client of the `@google/genai` package 3.1. */
export const generateClient: ClientDialect = {
  dialect: 'gemini.generate',
  operation: 'chat',
  streamType: 'text/event-stream; charset=utf-8',
  request: generateRequest,
  answer: (context) => new GenerateAnswer(context),
  stream: (context) => new GenerateStream(context),
  error: geminiError,
  takes: takesAll({
    tool_custom: { mapped: 'as functionCall with the text under raw_arguments' },
    refusal: { mapped: 'as text' },
    stop_sequence: { mapped: 'as STOP, without saying which' },
    cache_write_tokens: 'no',
  }),
  speaks: speaksAll({
    system_inside: 'no',
    message_name: 'no',
    image_detail: 'no',
    tool_strict: 'no',
    tool_custom: 'no',
    single_tool_call: 'no',
    min_p: 'no',
    repetition_penalty: 'no',
    logit_bias: 'no',
    verbosity: 'no',
    prediction: 'no',
    suffix: 'no',
    echo: 'no',
    cache_marks: 'no',
    user: 'no',
    metadata: { mapped: 'labels' },
    service_tier: 'no',
    store: 'no',
    prompt_cache_key: 'no',
    safety_identifier: 'no',
  }),
}
