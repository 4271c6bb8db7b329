import type { ClientDialect } from '../../contracts/dialect.ts'
import { speaksAll, takesAll } from '../canonical/say.ts'
import { ChatAnswer } from './client-chat-answer.ts'
import { chatRequest } from './client-chat-request.ts'
import { ChatStream } from './client-chat-stream.ts'
import { errorJson } from './errors.ts'

/** OpenAI chat completions: openai-openapi, checked against the `openai` package 7.57. */
export const chatClient: ClientDialect = {
  dialect: 'openai.chat',
  operation: 'chat',
  streamType: 'text/event-stream; charset=utf-8',
  request: chatRequest,
  answer: (context) => new ChatAnswer(context),
  stream: (context) => new ChatStream(context),
  error: errorJson,
  takes: takesAll({
    citations: { mapped: 'as url_citation; sources without a URL are left out' },
    stop_sequence: { mapped: 'as stop, without saying which' },
  }),
  speaks: speaksAll({
    suffix: 'no',
    echo: 'no',
    tool_result_error: { mapped: 'is_error of a tool message, which OpenAI does not have' },
    tool_result_media: { mapped: 'image parts of a tool message, which OpenAI does not have' },
  }),
}
