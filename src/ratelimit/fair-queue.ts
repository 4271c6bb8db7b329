import type { Ticket } from '../contracts/capacity.ts'

/** Flows that are idle and owe nothing are forgotten when there are more than this. */
const SWEEP_AT = 256
/** Idle flows are forgotten even with debts above this: a flood of tenants must not fill the memory. */
const MAX_FLOWS = 10_000

/** What waits. Links of the list inside its flow. */
export class QueueMember {
  readonly ticket: Ticket
  flow: Flow | null = null
  before: QueueMember | null = null
  after: QueueMember | null = null

  constructor(ticket: Ticket) {
    this.ticket = ticket
  }
}

/** One tenant in one band of priority. */
export class Flow {
  readonly tenant: string
  readonly band: Band
  weight = 1
  /** Virtual time at which what it has been given is paid for. */
  finish = 0
  /** Virtual start of its first waiting member; orders the heap. */
  tag = 0
  /** Order among equal tags. */
  order = 0
  /** Place in the heap; -1 = nothing waits. */
  at = -1
  /** Grants that are not settled. */
  open = 0
  first: QueueMember | null = null
  last: QueueMember | null = null

  constructor(tenant: string, band: Band) {
    this.tenant = tenant
    this.band = band
  }
}

/** All tenants of one priority. */
class Band {
  readonly priority: number
  /** Virtual time: the start of what was served last. */
  now = 0
  /** Binary heap of the flows in which something waits. */
  readonly heap: Flow[] = []
  readonly flows = new Map<string, Flow>()

  constructor(priority: number) {
    this.priority = priority
  }
}

const isBefore = (a: Flow, b: Flow): boolean => a.tag < b.tag || (a.tag === b.tag && a.order < b.order)

/**
 * Who is next: the lowest priority number first, always; within it start-time fair queueing (Goyal, Vin, Cheng,
 * SIGCOMM 1996) over tenants, counted in tokens by weight; within a tenant in order of arrival. A tenant that was away
 * has saved nothing up, and one that floods waits behind its own requests only. Tokens are estimates until settle().
 * Adding, removing and taking are O(log tenants).
 */
export class FairQueue {
  /** By priority; there are few. */
  readonly #bands: Band[] = []
  #size = 0
  #orders = 0

  get size(): number {
    return this.#size
  }

  push(member: QueueMember): void {
    const flow = this.#flow(member.ticket)
    member.flow = flow
    member.before = flow.last
    if (flow.last === null) flow.first = member
    else flow.last.after = member
    flow.last = member
    this.#size++
    if (flow.at >= 0) return
    flow.tag = Math.max(flow.band.now, flow.finish)
    flow.order = this.#orders++
    flow.at = flow.band.heap.push(flow) - 1
    up(flow.band.heap, flow.at)
  }

  /** Who is next; null = nobody waits. */
  peek(): QueueMember | null {
    for (const { heap } of this.#bands) if (heap.length > 0) return heap[0]!.first
    return null
  }

  /** Takes a member out and charges its tokens to its tenant; settle() is owed for it. */
  take(member: QueueMember): Flow {
    const flow = member.flow!
    this.#unlink(member)
    this.#charge(flow, flow.tag, member.ticket)
    if (flow.first !== null) {
      flow.tag = flow.finish
      down(flow.band.heap, flow.at)
    }
    return flow
  }

  /** Takes a member out that does not want to wait any more. Nothing happens when it is not in. */
  remove(member: QueueMember): void {
    if (member.flow === null) return
    const { flow } = member
    this.#unlink(member)
    tidy(flow)
  }

  /** Charges a call that did not have to wait; settle() is owed for it. */
  charge(ticket: Ticket): Flow {
    const flow = this.#flow(ticket)
    this.#charge(flow, Math.max(flow.band.now, flow.finish), ticket)
    return flow
  }

  /** The call is over: estimated minus real tokens are given back, or the rest is charged. Once for take() and charge(). */
  settle(flow: Flow, estimated: number, real: number): void {
    flow.open--
    if (real !== estimated) {
      flow.finish += (real - estimated) / flow.weight
      if (flow.at >= 0) {
        flow.tag = Math.max(flow.band.now, flow.finish)
        up(flow.band.heap, flow.at)
        down(flow.band.heap, flow.at)
      }
    }
    tidy(flow)
  }

  /** Tenants that are known, for tests. */
  get flows(): number {
    return this.#bands.reduce((sum, band) => sum + band.flows.size, 0)
  }

  #charge(flow: Flow, start: number, { tokens }: Ticket): void {
    flow.band.now = Math.max(flow.band.now, start)
    flow.finish = start + Math.max(1, tokens) / flow.weight
    flow.open++
  }

  #flow({ tenant, priority, weight }: Ticket): Flow {
    const band = this.#band(priority)
    let flow = band.flows.get(tenant)
    if (flow === undefined) {
      if (band.flows.size >= SWEEP_AT) sweep(band)
      flow = new Flow(tenant, band)
      band.flows.set(tenant, flow)
    }
    flow.weight = weight
    return flow
  }

  #band(priority: number): Band {
    let at = 0
    while (at < this.#bands.length && this.#bands[at]!.priority < priority) at++
    const found = this.#bands[at]
    if (found?.priority === priority) return found
    const band = new Band(priority)
    this.#bands.splice(at, 0, band)
    return band
  }

  #unlink(member: QueueMember): void {
    const flow = member.flow!
    if (member.before === null) flow.first = member.after
    else member.before.after = member.after
    if (member.after === null) flow.last = member.before
    else member.after.before = member.before
    member.flow = null
    member.before = null
    member.after = null
    this.#size--
    if (flow.first === null) leave(flow)
  }
}

const isIdle = (flow: Flow): boolean => flow.first === null && flow.open === 0

/** A tenant without waiting or running calls, and without debts, is as good as a new one. */
function tidy(flow: Flow): void {
  if (isIdle(flow) && flow.finish <= flow.band.now && flow.band.flows.get(flow.tenant) === flow)
    flow.band.flows.delete(flow.tenant)
}

function sweep(band: Band): void {
  for (const flow of band.flows.values())
    if (isIdle(flow) && (flow.finish <= band.now || band.flows.size >= MAX_FLOWS)) band.flows.delete(flow.tenant)
}

// ── heap ────────────────────────────────────────────────────────────────────
function put(heap: Flow[], flow: Flow, at: number): void {
  heap[at] = flow
  flow.at = at
}

function up(heap: Flow[], from: number): void {
  const flow = heap[from]!
  let at = from
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!isBefore(flow, heap[parent]!)) break
    put(heap, heap[parent]!, at)
    at = parent
  }
  put(heap, flow, at)
}

function down(heap: Flow[], from: number): void {
  const flow = heap[from]!
  let at = from
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
    if (!isBefore(heap[child]!, flow)) break
    put(heap, heap[child]!, at)
    at = child
  }
  put(heap, flow, at)
}

function leave(flow: Flow): void {
  const { heap } = flow.band
  const { at } = flow
  const last = heap.pop()!
  flow.at = -1
  if (last === flow) return
  put(heap, last, at)
  up(heap, at)
  down(heap, last.at)
}
