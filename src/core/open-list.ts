/**
 * What is open, in a doubly linked list through the members themselves. Not a Set: under churn a Set rehashes all the
 * time, and its dead tables in the old space keep alive whatever they held until the next full collection (measured:
 * half of each scavenge survived, 20 ms a pause).
 */
export class OpenMember {
  nextOpen: OpenMember | null = null
  previousOpen: OpenMember | null = null
}

export class OpenList<T extends OpenMember> {
  readonly #head = new OpenMember()

  constructor() {
    this.#head.nextOpen = this.#head
    this.#head.previousOpen = this.#head
  }

  add(member: T): void {
    const last = this.#head.previousOpen!
    member.previousOpen = last
    member.nextOpen = this.#head
    last.nextOpen = member
    this.#head.previousOpen = member
  }

  /** Once for each add(); nothing happens when it is not in the list. */
  remove(member: T): void {
    if (member.nextOpen === null) return
    member.previousOpen!.nextOpen = member.nextOpen
    member.nextOpen.previousOpen = member.previousOpen
    // A dead member that was promoted must not keep its neighbours alive.
    member.nextOpen = null
    member.previousOpen = null
  }

  /** A copy: members may leave while it is walked. */
  all(): T[] {
    const members: T[] = []
    for (let m = this.#head.nextOpen!; m !== this.#head; m = m.nextOpen!) members.push(m as T)
    return members
  }
}
