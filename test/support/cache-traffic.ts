/** People who ask an office for things, in several ways, and a backend that says to all who mean one thing the same. */
import type { CallOptions, Reply } from './client.ts'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from './backend.ts'
import { call } from './client.ts'
import type { Gateway } from './gateway.ts'

export const THINGS: readonly string[] = [
  'a savings account',
  'a new passport',
  'my parking permit',
  'a library card',
  'the school lunch plan',
  'a fishing licence',
  'my pension statement',
  'a replacement key',
  'the gym membership',
  'a travel refund',
  'my dental appointment',
  'a garden waste bin',
  'the cycle to work scheme',
  'a museum ticket',
  'my water meter reading',
  'a dog licence',
  'the season ticket',
  'a marriage certificate',
  'my tax return',
  'a street party permit',
]
/** Ways to ask for one. */
export const WAYS: readonly ((thing: string) => string)[] = [
  (thing) => `How do I apply for ${thing}?`,
  (thing) => `how can i apply for ${thing}`,
  (thing) => `How would I apply for ${thing}?`,
  (thing) => `Please tell me how to apply for ${thing}.`,
  (thing) => `What must I do to apply for ${thing}?`,
  (thing) => `How does one apply for ${thing}?`,
]

/** What is said to a question. */
export const answerTo = (question: string): string =>
  `Fill in the form for ${THINGS.find((thing) => question.includes(thing)) ?? question}, sign it and bring it along.`

/** Says so. */
export const startOffice = (): Promise<Backend> =>
  startBackend((res, _n, _req, body) => {
    const { messages } = JSON.parse(body.toString()) as { messages: { content: string }[] }
    const content = answerTo(messages.at(-1)!.content)
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
    sendJson(res, 200, { ...CHAT_ANSWER, choices })
  })

/** Asks model `m`. */
export const askOffice = (heddle: Gateway, content: string, headers: CallOptions['headers'] = {}): Promise<Reply> =>
  call(`${heddle.url}/v1/chat/completions`, { body: { model: 'm', messages: [{ role: 'user', content }] }, headers })

export const cacheStatus = (reply: Reply): unknown => reply.headers['x-heddle-cache']

export const contentOf = (reply: Reply): string =>
  (reply.json() as { choices: { message: { content: string } }[] }).choices[0]!.message.content
