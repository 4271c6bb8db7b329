/** Entries whose answers say the same. */
export class AnswerGroup {
  readonly id: number
  readonly #by: string
  /** More than one caller got it. */
  confirmed = false

  constructor(id: number, by: string) {
    this.id = id
    this.#by = by
  }

  add(principal: string): void {
    if (principal !== this.#by) this.confirmed = true
  }
}
