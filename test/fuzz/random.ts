/** Repeatable chance: a failing case is named by its seed alone. */
export class Chance {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** [0, 1), mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number below n. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  maybe(share: number): boolean {
    return this.next() < share
  }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Changes `count` places: bytes flipped, dropped, doubled, swapped, and pieces of `dictionary` put in. */
export function mutate(chance: Chance, input: Buffer, count: number, dictionary: readonly string[]): Buffer {
  let out = input
  for (let i = 0; i < count; i++) {
    const at = chance.below(out.length + 1)
    const length = 1 + chance.below(chance.maybe(0.8) ? 4 : 40)
    const before = out.subarray(0, at)
    const after = out.subarray(at)
    switch (chance.below(6)) {
      case 0:
        out = Buffer.concat([before, Buffer.from([chance.below(256)]), after.subarray(1)])
        break
      case 1:
        out = Buffer.concat([before, after.subarray(length)])
        break
      case 2:
        out = Buffer.concat([before, after.subarray(0, length), after])
        break
      case 3:
        out = Buffer.concat([before, bytes(chance.pick(dictionary)), after.subarray(chance.below(3))])
        break
      case 4: {
        const from = chance.below(out.length + 1)
        out = Buffer.concat([before, out.subarray(from, from + length), after])
        break
      }
      default:
        out = Buffer.concat([before, bytes(chance.pick(dictionary)), after])
    }
  }
  return out
}

/** The same bytes in pieces. */
export function split(chance: Chance, input: Buffer, most: number): Buffer[] {
  const cuts = Array.from({ length: chance.below(most) }, () => chance.below(input.length + 1)).sort((a, b) => a - b)
  return [...cuts, input.length]
    .map((end, i) => input.subarray(cuts[i - 1] ?? 0, end))
    .filter((piece) => piece.length > 0)
}
