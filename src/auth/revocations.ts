/**
 * Ids of keys that are no longer valid. Those revoked while running hold for every configuration; what a configuration
 * itself says holds for its own requests alone and is only listed here. One for a worker, kept over reloads.
 */
export class Revocations {
  readonly #added = new Set<string>()
  /** Of the configurations that are in use, the newest last. */
  readonly #configured: (readonly string[])[] = []

  /** Revoked at run time. False at the cost of one comparison when nothing is. */
  has(id: string): boolean {
    return this.#added.size > 0 && this.#added.has(id)
  }

  /** Lists what a configuration says for as long as it is in use: until what is returned is called. */
  configure(ids: readonly string[]): () => void {
    const listed = [...ids]
    this.#configured.push(listed)
    return () => {
      const at = this.#configured.indexOf(listed)
      if (at >= 0) this.#configured.splice(at, 1)
    }
  }

  /** Also what the configuration revokes already: it may not always do so. */
  revoke(id: string): void {
    this.#added.add(id)
  }

  /** Takes back what was revoked at run time; what the configuration says stays. */
  restore(id: string): void {
    this.#added.delete(id)
  }

  /** What a shared store holds takes the place of everything added at run time. */
  replaceAll(ids: Iterable<string>): void {
    this.#added.clear()
    for (const id of ids) this.#added.add(id)
  }

  /** Sorted; for the admin API. */
  snapshot(): { readonly configured: readonly string[]; readonly added: readonly string[] } {
    return { configured: (this.#configured.at(-1) ?? []).toSorted(), added: [...this.#added].sort() }
  }
}
