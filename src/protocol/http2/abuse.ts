/** So much at once, and so much a second: what peers may do that costs us more than them. */
export class Allowance {
  readonly #burst: number
  readonly #perMs: number
  #left: number
  #at = 0

  constructor(burst: number, perSecond: number) {
    this.#burst = burst
    this.#perMs = perSecond / 1000
    this.#left = burst
  }

  /** now: monotonic ms. False = there is none left. */
  take(now: number): boolean {
    if (this.#left < 1) {
      this.#left = Math.min(this.#burst, this.#left + (now - this.#at) * this.#perMs)
      this.#at = now
    } else if (this.#left >= this.#burst) this.#at = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  /** Useful work makes room for what comes along with it. */
  give(count: number): void {
    this.#left = Math.min(this.#burst, this.#left + count)
  }
}

const IDLE_BURST = 10_000
const IDLE_PER_SECOND = 1000
const RESETS_PER_SECOND = 500

/** What one connection has left. */
export class Abuse {
  /** Frames that carry nothing: PING, SETTINGS, PRIORITY, empty DATA, window updates, unknown ones. */
  readonly idle = new Allowance(IDLE_BURST, IDLE_PER_SECOND)
  /**
   * Streams that the peer has taken back before they were answered (CVE-2023-44487), or has made us reset (CVE-2025-8671). A
   * proxy whose own clients all leave at once takes back what is open, and no more.
   */
  readonly resets: Allowance

  constructor(maxStreams: number) {
    this.resets = new Allowance(Math.max(100, maxStreams), RESETS_PER_SECOND)
  }
}

/** Streams that were closed last, and how: frames that were under way are told from those that may not be. */
export class ClosedStreams {
  readonly #ids = new Uint32Array(128)
  #next = 0

  /** byUs: we have reset it, or have ended it before the peer did: what still comes of it is ignored. */
  add(id: number, byUs: boolean): void {
    this.#ids[this.#next] = (id | (byUs ? 0x8000_0000 : 0)) >>> 0
    this.#next = (this.#next + 1) & 127
  }

  /** 0 = it is not known, 1 = both sides had ended or the peer had reset it, 2 = it was us. */
  how(id: number): 0 | 1 | 2 {
    const ids = this.#ids
    for (let i = 0; i < 128; i++) if ((ids[i]! & 0x7fff_ffff) === id) return ids[i]! >= 0x8000_0000 ? 2 : 1
    return 0
  }
}
