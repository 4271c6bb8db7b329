import type { BalancingConfig } from './config-cluster.ts'

/** One address of a cluster, as a registry tells it. */
export interface Endpoint {
  /** IP address or host name, without a port. */
  readonly host: string
  readonly port: number
  /** > 0, relative to the others. */
  readonly weight: number
  /** Those of the lowest number that can serve get everything. */
  readonly priority: number
  /** '' = not known. */
  readonly zone: string
  /** Zones whose callers it is meant for; empty = all. */
  readonly forZones: readonly string[]
  /** draining: it is about to end but still answers; used when no other is left. */
  readonly state: 'ready' | 'draining'
  /** Of the pod or instance, for logs; '' = none. */
  readonly name: string
}

/** An endpoint with its place in the cluster's shared memory, which stays while it is in the set. */
export interface Member extends Endpoint {
  /** 0..MAX_ENDPOINTS-1 */
  readonly slot: number
  /** `host:port`, IPv6 in brackets: unique in the set. */
  readonly address: string
}

/** All that is known of a cluster's members at one moment; replaced, never changed. */
export interface EndpointSet {
  readonly key: string
  /** Grows with each change. */
  readonly version: number
  readonly members: readonly Member[]
}

/** Finds the endpoints of one cluster and goes on watching them. */
export interface Discovery {
  /**
   * Begins. onEndpoints: the whole set, each time it changes; also an empty one, when the registry says with certainty
   * that there is none. onError: it cannot be asked, or answers nonsense; what was known holds. Both never during start().
   */
  start(on: {
    endpoints(list: readonly Endpoint[]): void
    /** reason: a word for the metric, such as `unreachable`, `denied`, `invalid`, `not_found`. detail: for the log, without secrets. */
    error(reason: string, detail: string): void
    /** It has answered and nothing is new. */
    alive(): void
    /** It answers, but a part of what it says is of no use. Words as of error(). */
    skipped(reason: string, detail: string): void
  }): void
  close(): void
}

/** A cluster as one worker sees it. */
export interface ClusterSource {
  readonly key: string
  /** The newest; with no members while nothing is known. */
  readonly set: EndpointSet
  /** Shared by all threads: health, load and prefixes, by slot. See routing/balance/cluster-memory.ts. */
  readonly memory: SharedArrayBuffer
  /** Called with each new set until the returned function is. */
  watch(onSet: (set: EndpointSet) => void): () => void
}

/** What a picker may know of a call. */
export interface PickHints {
  /** As the backend knows it: the name of a LoRA adapter may be one. */
  readonly model: string
  /** The body as it will be sent; null = none. Its prompt tells which cache may help. */
  readonly body: Buffer | null
  /** Estimated tokens of the prompt. */
  readonly promptTokens: number
  /** Ties calls together; '' = nothing does. */
  readonly session: string
  /** < 0: may be refused when all are saturated. */
  readonly priority: number
}

export interface PickOptions {
  /** `host:port` of those that may be picked; null = all. */
  readonly subset?: ReadonlySet<string> | null
  /** Slots that were tried already. */
  readonly tried?: readonly number[]
  /** `host:port` of those that have failed the call before: only those that rest are worse. Left out: none has. */
  readonly failed?: readonly string[]
  /** Ms, Clock.monotonic. */
  readonly now: number
  /** Picked.note is wanted. */
  readonly explain?: boolean
}

/** Best first; those after it are for the case that it cannot be reached. */
export interface Picked {
  readonly members: readonly Member[]
  /** Why the first is first: scores, for explain. '' unless asked for. */
  readonly note: string
  /** What the pick remembers, such as the prompt's hashes: begin() wants it back. */
  readonly memo: unknown
}

/** Chooses among a cluster's members. One a worker and cluster. Never waits. */
export interface Picker {
  /** Throws GatewayError `upstream_unavailable` when there is no member, `overloaded` when all are saturated and the call may be refused. */
  pick(hints: PickHints, options: PickOptions): Picked
  /** A call of the member begins: counted, and its prompt is taken to be in the member's cache from now on. */
  begin(member: Member, picked: Picked, now: number): PickedCall
  /** Members that do not rest after failures, the one at this `host:port` left out. */
  usable(now: number, except?: string): number
}

export interface PickedCall {
  /** The head of the answer: load reports in it (ORCA) are read. */
  answered(headers: Readonly<Record<string, string | string[] | undefined>>, now: number): void
  /** The first bytes of its body: tells how fast the member is. Left out: nothing is learned of that. */
  began(now: number): void
  /**
   * Once; later calls do nothing. failed: it was the member's fault. unreachable: nobody listens there, so that it rests at
   * once. neutral: says nothing about it.
   */
  end(outcome: 'ok' | 'failed' | 'unreachable' | 'neutral', now: number): void
}

/** A picker somewhere else (EPP): asked for each call. Throws, or rejects with, GatewayError. */
export interface RemotePicker {
  pick(hints: PickHints, headers: readonly string[], options: PickOptions): Promise<RemotePicked>
  close(): void
}

export interface RemotePicked {
  /** `host:port`, best first; empty = it could not be asked and Heddle may pick itself. */
  readonly addresses: readonly string[]
  /** Headers that the picker wants on the call, flat. */
  readonly headers: readonly string[]
  /** The body it wants sent, when it changed it (another model name); null = as it is. */
  readonly body: Buffer | null
  /** Who has answered, and how it ended. */
  served(address: string, status: number): void
}

/** Reads the metrics of a cluster's members for all workers, in the main thread. */
export interface Scraper {
  /** The members are others now. */
  update(set: EndpointSet): void
  close(): void
}

/** What `createScraper` of routing/balance/scraper.ts is given. */
export interface ScraperParts {
  readonly set: EndpointSet
  readonly config: NonNullable<BalancingConfig['metrics']>
  /** Shared by all threads. */
  readonly memory: SharedArrayBuffer
  /** Threads that serve. */
  readonly workers: number
  /** Of the first provider that asks for it, for logs and metrics. */
  readonly cluster: string
  readonly log: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
}
