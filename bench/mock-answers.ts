const COMMON =
  'Server: mock\r\nX-Request-Id: req_0f6d3c1be84a4a7f\r\nOpenai-Processing-Ms: 11\r\nOpenai-Version: 2020-10-01\r\n' +
  'X-Ratelimit-Remaining-Requests: 9999\r\nX-Ratelimit-Remaining-Tokens: 1999950\r\n'

export const jsonAnswer = (body: string): Buffer =>
  Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${COMMON}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )

export const CHAT_ANSWER = jsonAnswer(
  JSON.stringify({
    id: 'chatcmpl-C0ffee0123456789abcdefghij',
    object: 'chat.completion',
    created: 1_795_000_000,
    model: 'gpt-4o-mini',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'A loom holds the warp threads apart so that the shuttle can carry the weft between them.',
          refusal: null,
          annotations: [],
        },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: {
      prompt_tokens: 52,
      completion_tokens: 21,
      total_tokens: 73,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
    },
    service_tier: 'default',
    system_fingerprint: 'fp_7a1e0c42d9',
  }),
)

/** 1,536 floats as the SDKs ask for them: base64 of little-endian 32-bit floats. */
const embedding = (): string => {
  const floats = Float32Array.from({ length: 1536 }, (_, index) => Math.sin(index * 12.9898) * 0.04)
  return Buffer.from(floats.buffer).toString('base64')
}

export const EMBEDDING_ANSWER = jsonAnswer(
  JSON.stringify({
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding: embedding() }],
    model: 'text-embedding-3-small',
    usage: { prompt_tokens: 9, total_tokens: 9 },
  }),
)

const event = (payload: string): string => {
  const text = `data: ${payload}\n\n`
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}

const chunk = (delta: object, finish: string | null): string =>
  event(
    JSON.stringify({
      id: 'chatcmpl-C0ffee0123456789abcdefghij',
      object: 'chat.completion.chunk',
      created: 1_795_000_000,
      model: 'gpt-4o-mini',
      service_tier: 'default',
      system_fingerprint: 'fp_7a1e0c42d9',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    }),
  )

const USAGE = event(
  JSON.stringify({
    id: 'chatcmpl-C0ffee0123456789abcdefghij',
    object: 'chat.completion.chunk',
    created: 1_795_000_000,
    model: 'gpt-4o-mini',
    service_tier: 'default',
    system_fingerprint: 'fp_7a1e0c42d9',
    choices: [],
    usage: { prompt_tokens: 52, completion_tokens: 32, total_tokens: 84 },
  }),
)

export const SSE_HEAD = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n${COMMON}` +
    'Transfer-Encoding: chunked\r\n\r\n',
)
export const SSE_ROLE = Buffer.from(chunk({ role: 'assistant', content: '', refusal: null }, null))
export const SSE_CHUNK = Buffer.from(chunk({ content: ' shuttle' }, null))
/** Finish reason, usage, the end of the events and the end of the body, in one write as providers tend to send them. */
export const SSE_DONE = Buffer.from(`${chunk({}, 'stop')}${USAGE}${event('[DONE]')}0\r\n\r\n`)
