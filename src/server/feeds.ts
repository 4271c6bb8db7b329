import type { ClusterSource, EndpointSet } from '../contracts/cluster.ts'
import type { Svid } from '../contracts/config-svid.ts'
import type { Feed } from './messages.ts'

/** What a worker knows of what the main thread watches; compiled configurations look here. */
export class Feeds {
  readonly #sets = new Map<string, EndpointSet>()
  readonly #watchers = new Map<string, Set<(set: EndpointSet) => void>>()
  readonly #svidWatchers = new Set<(svid: Svid) => void>()
  #svid: Svid | null = null

  take(feed: Feed): void {
    if (feed.kind === 'svid') {
      this.#svid = feed.svid
      for (const onSvid of this.#svidWatchers) onSvid(feed.svid)
      return
    }
    const { set } = feed
    // Also the last word of a cluster that is no longer configured.
    if (set.members.length === 0) this.#sets.delete(set.key)
    else this.#sets.set(set.key, set)
    for (const onSet of this.#watchers.get(set.key) ?? []) onSet(set)
  }

  /** memory: the cluster's, of all threads. */
  cluster(key: string, memory: SharedArrayBuffer): ClusterSource {
    const sets = this.#sets
    const watchers = this.#watchers
    return {
      key,
      memory,
      get set() {
        return sets.get(key) ?? { key, version: 0, members: [] }
      },
      watch(onSet) {
        const all = watchers.get(key) ?? new Set()
        watchers.set(key, all.add(onSet))
        return () => {
          all.delete(onSet)
          if (all.size === 0) watchers.delete(key)
        }
      },
    }
  }

  /** null = none has come yet. */
  get svid(): Svid | null {
    return this.#svid
  }

  /** Calls with each new one until the returned function is called. */
  watchSvid(onSvid: (svid: Svid) => void): () => void {
    this.#svidWatchers.add(onSvid)
    return () => void this.#svidWatchers.delete(onSvid)
  }
}
