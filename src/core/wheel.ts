/**
 * Coarse shared timers: one interval serves every request of a thread, arming and disarming are O(1) and allocate
 * nothing beyond the entry, and an idle timer costs one field write per chunk instead of a timer reset.
 * Hashed timing wheel after Varghese and Lauck (SOSP 1987).
 */

const TICK_MS = 10
const SLOTS = 1024
/** A tick this late says that the event loop stood still: what came meanwhile waits in sockets, still unread. */
const STALL_TICKS = 5

export abstract class WheelTimer {
  /** Tick at which to look at this entry again; -1 = not armed. */
  dueTick = -1
  nextInSlot: WheelTimer | null = null
  previousInSlot: WheelTimer | null = null
  /** Called once when due, at most two ticks late. Arm again from here if wanted. */
  abstract onTimer(): void
}

/** For the rare timer that is no object with a life of its own. */
export class CallbackTimer extends WheelTimer {
  readonly #fn: () => void
  constructor(fn: () => void) {
    super()
    this.#fn = fn
  }
  override onTimer(): void {
    this.#fn()
  }
}

class Slot extends WheelTimer {
  constructor() {
    super()
    this.nextInSlot = this
    this.previousInSlot = this
  }
  override onTimer(): void {}
}

export class TimerWheel {
  readonly #slots: readonly Slot[] = Array.from({ length: SLOTS }, () => new Slot())
  readonly #now: () => number
  #tick = 0
  /** Tick of `coarseNow`: ahead of #tick while a stalled loop catches up. */
  #seen = 0
  #catchingUp = false
  #armed = 0
  #startedAt: number
  readonly #manual: boolean
  #interval: NodeJS.Timeout | null = null

  /** now: ms, monotonic. Tests pass their own and call advance(). */
  constructor(now: () => number = () => performance.now(), options: { readonly manual?: boolean } = {}) {
    this.#now = now
    this.#startedAt = now()
    this.#manual = options.manual === true
  }

  /** Ms since the wheel's start, as of the last tick: good enough for idle checks and free to read. */
  get coarseNow(): number {
    return this.#seen * TICK_MS
  }

  get armed(): number {
    return this.#armed
  }

  /** Arms, or moves, the timer to ms from now. */
  arm(timer: WheelTimer, ms: number): void {
    if (timer.dueTick >= 0) this.#unlink(timer)
    else this.#armed++
    if (this.#interval === null && !this.#manual) this.#start()
    // From the real time, not the tick: behind a blocked event loop the tick is late and timers would fire early.
    const due = Math.ceil((this.#now() - this.#startedAt + ms) / TICK_MS)
    timer.dueTick = due > this.#tick ? due : this.#tick + 1
    const slot = this.#slots[timer.dueTick % SLOTS]!
    timer.previousInSlot = slot.previousInSlot
    timer.nextInSlot = slot
    slot.previousInSlot!.nextInSlot = timer
    slot.previousInSlot = timer
  }

  disarm(timer: WheelTimer): void {
    if (timer.dueTick < 0) return
    this.#unlink(timer)
    timer.dueTick = -1
    this.#armed--
  }

  #unlink(timer: WheelTimer): void {
    timer.previousInSlot!.nextInSlot = timer.nextInSlot
    timer.nextInSlot!.previousInSlot = timer.previousInSlot
    timer.nextInSlot = null
    timer.previousInSlot = null
  }

  #start(): void {
    // While nothing was armed the interval stood still: catch the tick up, there is nothing to fire.
    this.#tick = this.#look()
    this.#interval = setInterval(() => this.#wake(), TICK_MS)
    this.#interval.unref()
  }

  #look(): number {
    this.#seen = Math.floor((this.#now() - this.#startedAt) / TICK_MS)
    return this.#seen
  }

  /**
   * Timers come before sockets in a turn of the event loop. After a stall that would blame backends and clients for our
   * own pause, so what they have sent is read first: that disarms or moves their timers.
   */
  #wake(): void {
    if (this.#catchingUp) return
    if (this.#look() - this.#tick < STALL_TICKS) {
      this.advance()
      return
    }
    this.#catchingUp = true
    setImmediate(() => {
      this.#catchingUp = false
      this.advance()
    })
  }

  /** Fires what is due. Called by the interval. */
  advance(): void {
    const target = this.#look()
    while (this.#tick < target) {
      this.#tick++
      const slot = this.#slots[this.#tick % SLOTS]!
      let timer = slot.nextInSlot!
      while (timer !== slot) {
        const next = timer.nextInSlot!
        if (timer.dueTick <= this.#tick) {
          this.disarm(timer)
          timer.onTimer()
          // onTimer may disarm its neighbours: begin again at the head rather than follow a stale link.
          timer = slot.nextInSlot!
          continue
        }
        timer = next
      }
    }
    if (this.#armed === 0 && this.#interval !== null) {
      clearInterval(this.#interval)
      this.#interval = null
    }
  }
}
