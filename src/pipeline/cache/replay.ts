import type { AnswerSink } from '../../contracts/dialect.ts'
import type { Exchange } from '../exchange.ts'
import { OPERATIONS } from '../../protocol/operations.ts'
import { wireOf } from '../../protocol/wires.ts'
import { CallbackTimer } from '../../core/wheel.ts'
import { answerBody } from '../answer-body.ts'
import { Listener } from '../listener.ts'
import { clientOf } from '../translation.ts'

/** Of a piece of a stream, characters: about twenty tokens. */
const PIECE = 80
const CHARACTERS_PER_TOKEN = 4

/** Tells texts in pieces that end between words where they can. */
class Pieces extends Listener {
  readonly #onPiece: () => void

  constructor(to: AnswerSink, onPiece: () => void) {
    super(to)
    this.#onPiece = onPiece
  }

  override text(choice: number, text: string): void {
    for (let at = 0; at < text.length;) {
      const end = pieceEnd(text, at)
      super.text(choice, text.slice(at, end))
      this.#onPiece()
      at = end
    }
  }
}

function pieceEnd(text: string, at: number): number {
  const most = at + PIECE
  if (most >= text.length) return text.length
  const blank = text.lastIndexOf(' ', most)
  if (blank > at + PIECE / 2) return blank
  // Never between the halves of one character.
  const code = text.charCodeAt(most - 1)
  return code >= 0xd800 && code < 0xdc00 ? most + 1 : most
}

/** A kept answer as the stream that its client asked for: all pieces, in order. Throws when it cannot be told as one. */
export function streamOf(x: Exchange, body: Buffer): readonly (string | Buffer)[] {
  const wire = wireOf(OPERATIONS[x.operation].dialect!)
  const encoder = clientOf(x.operation)!.stream(x.translation.context)
  const out: (string | Buffer)[] = []
  const take = (): void => {
    const piece = encoder.take()
    if (piece.length > 0) out.push(piece)
  }
  const answer = answerBody(wire, body)
  if (answer === null || wire.answer(answer, new Pieces(encoder, take)) !== 'ok') throw new Error('not an answer')
  take()
  return out
}

/** Sends the pieces one after the other, as fast as a model would have. tokensPerSecond > 0. */
export class PacedReplay {
  readonly #x: Exchange
  readonly #pieces: readonly (string | Buffer)[]
  readonly #ms: number
  readonly #timer: CallbackTimer
  #at = 0

  constructor(x: Exchange, pieces: readonly (string | Buffer)[], tokensPerSecond: number) {
    this.#x = x
    this.#pieces = pieces
    this.#ms = Math.max(1, (PIECE / CHARACTERS_PER_TOKEN / tokensPerSecond) * 1000)
    this.#timer = new CallbackTimer(() => this.#next())
  }

  start(): void {
    this.#x.source = this
    this.#next()
  }

  /** The client reads again. */
  resume(): void {
    this.#next()
  }

  #next(): void {
    const { writer, services, over } = this.#x
    if (over || this.#at >= this.#pieces.length) return
    const piece = this.#pieces[this.#at++]!
    this.#x.bytesOut += piece.length
    if (this.#at === this.#pieces.length) {
      writer.end(piece)
      this.#x.replied(200, this.#x.bytesOut)
    } else if (writer.write(piece)) services.wheel.arm(this.#timer, this.#ms)
  }
}
