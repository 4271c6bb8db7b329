/**
 * Ids of keys that are no longer valid: those of the configuration, and those revoked while running. One for a process
 * or worker, kept over reloads; `onChange` lets the owner share what was added at run time.
 */
export class Revocations {
  /** Both kinds together: the request path asks one set. */
  #all: ReadonlySet<string> = new Set()
  #configured: readonly string[] = []
  readonly #added = new Set<string>()
  readonly #onChange: ((added: readonly string[]) => void) | undefined

  /** onChange: called with all ids added at run time, whenever `revoke` or `restore` has changed them; not for `add` and `replaceAll`. */
  constructor(onChange?: (added: readonly string[]) => void) {
    this.#onChange = onChange
  }

  /** False at the cost of one comparison when nothing is revoked. */
  has(id: string): boolean {
    return this.#all.size > 0 && this.#all.has(id)
  }

  /** What the configuration says, at start and after each reload; ids added at run time stay. */
  configure(ids: readonly string[]): void {
    this.#configured = [...ids]
    this.#rebuild()
  }

  /** At run time: valid at once here, and told to `onChange`. False = it was revoked already. */
  revoke(id: string): boolean {
    if (this.#all.has(id)) return false
    this.#added.add(id)
    this.#rebuild()
    this.#onChange?.([...this.#added])
    return true
  }

  /** Takes back what was revoked at run time; what the configuration says stays. False = it was not. */
  restore(id: string): boolean {
    const found = this.#added.delete(id)
    if (!found) return false
    this.#rebuild()
    this.#onChange?.([...this.#added])
    return true
  }

  /** Ids that another worker or replica has revoked. */
  add(ids: Iterable<string>): void {
    for (const id of ids) this.#added.add(id)
    this.#rebuild()
  }

  /** What a shared store holds takes the place of everything added at run time. */
  replaceAll(ids: Iterable<string>): void {
    this.#added.clear()
    this.add(ids)
  }

  /** Sorted; for the admin API. */
  snapshot(): { readonly configured: readonly string[]; readonly added: readonly string[] } {
    return { configured: [...this.#configured].sort(), added: [...this.#added].sort() }
  }

  #rebuild(): void {
    this.#all = new Set([...this.#configured, ...this.#added])
  }
}
