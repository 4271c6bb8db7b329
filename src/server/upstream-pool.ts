import type { Upstream } from '../contracts/upstream.ts'
import { UndiciUpstream, type UndiciUpstreamOptions } from '../upstream/index.ts'

interface Entry {
  readonly upstream: Upstream
  holders: number
}

/** Connections live by what they connect to, not by configuration: an unrelated reload drops no warm connection. */
export class UpstreamPool {
  readonly #entries = new Map<string, Entry>()

  acquire(options: UndiciUpstreamOptions): { readonly upstream: Upstream; release(): void } {
    const key = JSON.stringify(options)
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { upstream: new UndiciUpstream(options), holders: 0 }
      this.#entries.set(key, entry)
    }
    entry.holders++
    const held = entry
    return {
      upstream: held.upstream,
      release: () => {
        if (--held.holders > 0) return
        this.#entries.delete(key)
        // Calls under way end by themselves; nobody waits for it.
        held.upstream.close().catch(() => {})
      },
    }
  }
}
