/** Things by a name that several share. A name is known while something has it. */
export class Groups<T> {
  readonly #groups = new Map<string, Set<T>>()
  readonly #none: ReadonlySet<T> = new Set()

  get size(): number {
    return this.#groups.size
  }

  add(name: string, thing: T): void {
    const group = this.#groups.get(name)
    if (group === undefined) this.#groups.set(name, new Set([thing]))
    else group.add(thing)
  }

  remove(name: string, thing: T): void {
    const group = this.#groups.get(name)
    if (group?.delete(thing) === true && group.size === 0) this.#groups.delete(name)
  }

  of(name: string): ReadonlySet<T> {
    return this.#groups.get(name) ?? this.#none
  }
}
