import type { ChatRequest } from '../../contracts/canonical.ts'
import type { Asked } from '../../contracts/dialect.ts'

/** Nothing is cut. */
export const UNTRIMMED: Asked = { echo: '', stop: [] }

/** stop: of the request; an empty sequence stops nothing. echo: the prompt, where the model repeats it. */
export const askedOf = ({ stop = [] }: Pick<ChatRequest, 'stop'>, echo: string): Asked => ({
  echo,
  stop: stop.filter((sequence) => sequence !== ''),
})

/**
 * Takes the repeated prompt off the beginning of an answer and ends it at the first stop sequence, piece by piece. What may
 * be the beginning of a stop sequence is held back until it is known.
 */
export class Trimmer {
  readonly #stop: readonly string[]
  /** What is still to be taken off. */
  #echo: string
  #held = ''
  /** The sequence that it stopped at; '' = none yet. */
  sequence = ''

  constructor({ echo, stop }: Asked) {
    this.#echo = echo
    this.#stop = stop
  }

  /** What of the answer can be told now. */
  push(piece: string): string {
    if (this.sequence !== '') return ''
    this.#held += piece
    if (this.#echo !== '' && !this.#takeEcho()) return ''
    const end = this.#find()
    return this.#release(end >= 0 ? end : this.#held.length - this.#pending())
  }

  /** The answer is complete: what was held back. */
  end(): string {
    if (this.sequence !== '') return ''
    this.#echo = ''
    const told = this.push('')
    return this.sequence === '' ? told + this.#release(this.#held.length) : told
  }

  /** Where what is told ends; -1 = no sequence is complete. Of several the one counts that is complete first, as a model would stop. */
  #find(): number {
    let start = -1
    let complete = Infinity
    for (const sequence of this.#stop) {
      const at = this.#held.indexOf(sequence)
      const end = at + sequence.length
      if (at < 0 || end > complete || (end === complete && at > start)) continue
      start = at
      complete = end
      this.sequence = sequence
    }
    return start
  }

  #release(length: number): string {
    const told = this.#held.slice(0, length)
    this.#held = this.sequence === '' ? this.#held.slice(length) : ''
    return told
  }

  /** False = it may still be the prompt. */
  #takeEcho(): boolean {
    const held = this.#held
    const echo = this.#echo
    if (held.length < echo.length && echo.startsWith(held)) return false
    if (held.startsWith(echo)) this.#held = held.slice(echo.length)
    // Not the prompt after all: nothing is taken off.
    this.#echo = ''
    return true
  }

  /** Length of the end of what is held that may begin a stop sequence. */
  #pending(): number {
    let longest = 0
    for (const sequence of this.#stop)
      for (let length = Math.min(sequence.length - 1, this.#held.length); length > longest; length--)
        if (this.#held.endsWith(sequence.slice(0, length))) longest = length
    return longest
  }
}
