/**
 * One conversation asked of a backend over any vendor's wire, by hand: what is sent and read here rests on the vendors'
 * documentation alone, so it can witness for the simulator and for the gateway's codecs.
 */
import { crc32 } from 'node:zlib'
import { anthropic, bedrock, gemini } from './wires-clouds.ts'
import { openAiChat, openAiResponses } from './wires-openai.ts'
import { cohere, ollama, tgi } from './wires-others.ts'
import type { Conversation, Loose, Said, Wire, WireName } from './wires-words.ts'
import { modelOf } from './wires-words.ts'

export type { Conversation, Said, WireName } from './wires-words.ts'

const WIRES: Readonly<Record<WireName, Wire>> = {
  'openai.chat': openAiChat,
  'openai.responses': openAiResponses,
  anthropic,
  gemini,
  bedrock,
  ollama,
  cohere,
  tgi,
}

export const WIRE_NAMES = Object.keys(WIRES) as readonly WireName[]

/** Whether a wire has words for all that a conversation asks. */
export const canAsk = (name: WireName, asked: Conversation): boolean => {
  const { lacks } = WIRES[name]
  const has = new Set<string>(Object.keys(asked))
  if (asked.choice !== undefined) has.add('tool-choice')
  if (asked.turns.length > 1) has.add('history')
  if (asked.turns.some((turn) => turn.role === 'user' && turn.image !== undefined)) has.add('image')
  if (asked.model?.includes('reason') === true) has.add('reasoning')
  return !lacks.some((lack) => has.has(lack))
}

const sseData = (text: string): string[] =>
  text
    .split(/\r?\n\r?\n/)
    .map((frame) => /^data: ?(.*)$/m.exec(frame)?.[1] ?? '')
    .filter((data) => data !== '' && data !== '[DONE]')

const frames = (bytes: Buffer): string[] => {
  const payloads: string[] = []
  for (let at = 0; at < bytes.length;) {
    const [length, head] = [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]
    const frame = bytes.subarray(at, at + length)
    if (crc32(frame.subarray(0, 8)) !== frame.readUInt32BE(8)) throw new Error('checksum of a prelude')
    if (crc32(frame.subarray(0, -4)) !== frame.readUInt32BE(length - 4)) throw new Error('checksum of a frame')
    payloads.push(frame.toString('utf8', 12 + head, length - 4))
    at += length
  }
  return payloads
}

const parse = (data: string): Loose => JSON.parse(data) as Loose

/** Puts the stream of a wire together. @throws SyntaxError, or Error for a frame with a wrong checksum */
export const readStream = (name: WireName, bytes: Buffer): Said => {
  const text = bytes.toString()
  const events = name === 'bedrock' ? frames(bytes) : name === 'ollama' ? text.trimEnd().split(/\r?\n/) : sseData(text)
  return WIRES[name].streamed(events.map(parse))
}

/** What a client of the wire would send. */
export const requestFor = (name: WireName, asked: Conversation, stream: boolean): { path: string; body: string } => ({
  path: WIRES[name].path(modelOf(asked), stream),
  body: JSON.stringify(WIRES[name].body(asked, stream)),
})

/** @param headers beside content-type. @throws Error if the answer is not a 200 */
export const askOver = async (
  name: WireName,
  origin: string,
  asked: Conversation,
  stream: boolean,
  headers: Readonly<Record<string, string>> = {},
): Promise<Said> => {
  const { path, body } = requestFor(name, asked, stream)
  const response = await fetch(origin + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const text = bytes.toString()
  if (response.status !== 200) throw new Error(`${name} ${asked.name}: ${response.status} ${text}`)
  if (!stream) return WIRES[name].said(parse(text))
  return readStream(name, bytes)
}
