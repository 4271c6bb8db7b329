// Requests whose framing was damaged. Each answer must be one that a client can read, each refusal must have the
// envelope, and a backend must not see more requests than were answered.
import type { SimReceived } from '../../src/sim/index.ts'
import { raw } from '../integration/abuse-kit.ts'
import { mutate, split, type Chance } from './random.ts'

const DICTIONARY = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '0',
  '\r\n\r\n',
  '0\r\n\r\n',
  'Content-Length: 5\r\n',
  'content-length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'transfer-encoding:\x0bchunked\r\n',
  'chunked',
  'identity, ',
  ' HTTP/1.1\r\n',
  'HTTP/1.0',
  'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'Expect: 100-continue\r\n',
  'Connection: keep-alive, host\r\n',
  'Upgrade: h2c\r\n',
  'Host: a\r\n',
  '\x80',
  '\xff',
  '-1',
  'fffffffff',
  '0x',
  '+',
  '%00',
  '../',
  '#',
  '?',
  '\r\n ',
]

function request(chance: Chance, id: string): Buffer {
  const body = JSON.stringify({ model: 'm', user: id, messages: [{ role: 'user', content: 'hi' }] })
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n`
  const half = chance.below(body.length)
  if (chance.maybe(0.5)) return Buffer.from(`${head}content-length: ${body.length}\r\n\r\n${body}`)
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
  return Buffer.from(
    `${head}transfer-encoding: chunked\r\n\r\n${half > 0 ? chunk(body.slice(0, half)) : ''}${chunk(body.slice(half))}0\r\n\r\n`,
  )
}

export interface FramingTarget {
  readonly port: number
  readonly received: readonly SimReceived[]
}

/** One connection with one to three damaged requests; throws what is wrong with the answers. */
export async function fuzzFraming(chance: Chance, id: string, target: FramingTarget): Promise<void> {
  const requests = Array.from({ length: 1 + chance.below(3) }, () => request(chance, id))
  const sent = mutate(chance, Buffer.concat(requests), 1 + chance.below(4), DICTIONARY)
  const from = target.received.at(-1)
  const { answers, closed, text } = await raw(target.port, split(chance, sent, 6), {
    untilClose: true,
    patience: 6000,
    end: false,
  })
  if (!closed && answers.length === 0)
    throw new Error(`no answer and no end for ${JSON.stringify(sent.toString('latin1'))}`)
  const final = answers.filter((a) => a.status >= 200)
  for (const answer of final) {
    if (answer.status >= 500) throw new Error(`an error of ours: ${answer.status} ${answer.body}`)
    if (answer.status < 400 || answer.body === '') continue
    const { error } = JSON.parse(answer.body) as { error: Record<string, unknown> }
    if (error['request_id'] !== answer.headers['x-request-id'] || typeof error['code'] !== 'string')
      throw new Error(`not the envelope: ${answer.body}`)
  }
  if (/^HTTP\/1\.1 \d{3} /.exec(text) === null && text !== '' && !sent.subarray(0, 3).equals(Buffer.from('PRI')))
    throw new Error(`not an answer: ${JSON.stringify(text.slice(0, 100))}`)
  const seen = target.received
    .slice(from === undefined ? 0 : target.received.indexOf(from) + 1)
    .filter((r) => r.body.includes(id))
  const heads = text.match(/HTTP\/1\.1 [2-5]\d\d /g)?.length ?? 0
  if (seen.length > Math.max(heads, 1))
    throw new Error(`${seen.length} calls for ${heads} answers of ${JSON.stringify(sent.toString('latin1'))}`)
  if (seen.length > requests.length)
    throw new Error(`${seen.length} calls for ${requests.length} requests: ${JSON.stringify(sent.toString('latin1'))}`)
}
