import type { FinishReason, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerSink } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { Exchange } from '../exchange.ts'
import type { Kept } from '../fan-out.ts'
import { CollectedAnswer } from '../../protocol/canonical/collect.ts'
import { framerOf } from '../../protocol/framing.ts'
import { OPERATIONS } from '../../protocol/operations.ts'
import { wireOf } from '../../protocol/wires.ts'
import { answerBody } from '../answer-body.ts'
import { Listener } from '../listener.ts'
import { clientOf } from '../translation.ts'

/** What of an answer is kept, or why it is not. */
export type Taken = { readonly body: Buffer; readonly text: string } | { readonly refused: string }

/** Hears an answer that is to be kept: whether it may be. */
class Keeper extends Listener {
  said = ''
  reason: FinishReason | '' = ''
  refused = ''
  #usage: Usage | null

  /** usage: as the request knows it, for streams whose client did not ask for it. */
  constructor(to: AnswerSink, usage: Usage | null) {
    super(to)
    this.#usage = usage
  }

  override text(choice: number, text: string): void {
    if (choice > 0) this.refused = 'choices'
    this.said += text
    super.text(choice, text)
  }
  override toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    this.refused = 'tool_calls'
    super.toolCall(choice, index, id, name, custom)
  }
  override refusal(choice: number, text: string): void {
    this.refused = 'refusal'
    super.refusal(choice, text)
  }
  override finish(choice: number, reason: FinishReason, sequence: string): void {
    this.reason = reason
    super.finish(choice, reason, sequence)
  }
  override usage(usage: Usage): void {
    this.#usage = null
    super.usage(usage)
  }
  override end(): void {
    if (this.#usage !== null) super.usage(this.#usage)
    super.end()
  }

  get why(): string {
    if (this.refused !== '') return this.refused
    if (this.reason !== 'stop') return this.reason === '' ? 'cut' : this.reason
    return this.said === '' ? 'empty' : ''
  }
}

/** Reads what the client got, in its own dialect. Never throws. */
export function takeAnswer(x: Exchange, { chunks, bytes }: Kept): Taken {
  const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)
  try {
    if (x.operation === 'embeddings') return { body, text: '' }
    if (x.operation === 'completions') return ofCompletion(x, body)
    return x.stream ? ofStream(x, body) : ofWhole(x, body)
  } catch {
    return { refused: 'unreadable' }
  }
}

/** No backend is spoken to in it, so there is nobody else who reads it. */
function ofCompletion(x: Exchange, body: Buffer): Taken {
  if (x.stream) return { refused: 'stream' }
  const { choices } = JSON.parse(body.toString()) as { choices?: JsonObject[] }
  const only = choices?.length === 1 ? choices[0]! : {}
  if (only['finish_reason'] !== 'stop' || typeof only['text'] !== 'string') return { refused: 'cut' }
  return only['text'] === '' ? { refused: 'empty' } : { body, text: only['text'] }
}

function ofWhole(x: Exchange, body: Buffer): Taken {
  const wire = wireOf(OPERATIONS[x.operation].dialect!)
  const keeper = new Keeper(new CollectedAnswer(), null)
  const answer = answerBody(wire, body)
  if (answer === null || wire.answer(answer, keeper) !== 'ok') return { refused: 'unreadable' }
  return keeper.why === '' ? { body, text: keeper.said } : { refused: keeper.why }
}

/** The stream as one answer, so that one entry serves both forms. */
function ofStream(x: Exchange, bytes: Buffer): Taken {
  const client = clientOf(x.operation)!
  const encoder = client.answer(x.translation.context)
  const keeper = new Keeper(encoder, x.usage)
  const wire = wireOf(OPERATIONS[x.operation].dialect!)
  const decoder = wire.stream(keeper)
  let verdict: string = 'go'
  const tell = (name: string, data: string): void => {
    if (verdict === 'go') verdict = decoder.event(name, data)
  }
  const framer = framerOf(wire.framing, bytes.length + 1)
  if (framer === null) tellSse(bytes, tell)
  else {
    framer.push(bytes)
    for (let event = framer.next(); event !== null; event = framer.next()) tell(event.name, event.data)
  }
  if (verdict === 'error' || (verdict === 'go' && !decoder.close())) return { refused: 'cut' }
  return keeper.why === '' ? { body: Buffer.from(encoder.body()), text: keeper.said } : { refused: keeper.why }
}

/** Events of a whole stream (WHATWG HTML 9.2.6). */
function tellSse(bytes: Buffer, tell: (name: string, data: string) => void): void {
  for (const block of bytes.toString().split(/\r\n\r\n|\n\n|\r\r/)) {
    let name = ''
    let data: string | null = null
    for (const line of block.split(/\r\n|\n|\r/)) {
      const value = (from: number): string => line.slice(line[from] === ' ' ? from + 1 : from)
      if (line.startsWith('data:')) data = data === null ? value(5) : `${data}\n${value(5)}`
      else if (line.startsWith('event:')) name = value(6)
    }
    if (data !== null) tell(name, data)
  }
}
