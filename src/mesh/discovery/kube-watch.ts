import { askLines, askOnce, refused } from './http.ts'
import { listOf, mapOf, parseJson, textOf, type Json } from './json.ts'
import type { KubeAccess } from './kube-client.ts'
import { DiscoveryFault, Loop, type DiscoveryParts, type Told } from './parts.ts'

/** Objects of one page: small enough to be read without holding up requests. */
const PAGE = 100
const MAX_BYTES = 4 * 1024 * 1024
const MAX_OBJECTS = 2000
/** Of a server that cuts them smaller than it is asked to. */
const MAX_PAGES = 200
const LIST_MS = 15_000
/** The server ends a watch after this, s; it goes on where it was. Ours is longer by what the answer may take. */
const WATCH_S = 60
const SLACK_MS = 10_000
/** A watch that ends sooner is not begun again at once, ms. */
const SHORT_MS = 200

export interface KubeCollection {
  /** Such as `/api/v1/namespaces/llm/pods`. */
  readonly path: string
  /** labelSelector or fieldSelector. */
  readonly query: Readonly<Record<string, string>>
}

const uidOf = (object: Json): string => {
  const metadata = mapOf(object['metadata'])
  return textOf(metadata['uid']) || textOf(metadata['name'])
}

const versionOf = (object: Json): string => textOf(mapOf(object['metadata'])['resourceVersion'])

export type KubeTold<T> = { readonly objects: (all: readonly T[]) => void } & Pick<Told, 'alive' | 'error' | 'skipped'>

export interface KubeWatchOptions<T> extends KubeCollection {
  readonly access: KubeAccess
  /** What is kept of an object: pods are large. */
  readonly read: (object: Json) => T
  readonly on: KubeTold<T>
}

/**
 * All objects of a collection, listed once and then watched: by resourceVersion, which bookmarks keep fresh, so that a
 * watch that ends goes on where it was. When the server no longer has that version (410), all is listed anew. See
 * Kubernetes API concepts, "Efficient detection of changes".
 */
export class KubeWatch<T> {
  readonly #options: KubeWatchOptions<T>
  readonly #parts: DiscoveryParts
  readonly #objects = new Map<string, T>()
  /** '' = to be listed. */
  #version = ''
  readonly #loop: Loop

  /** Begins at once. */
  constructor(options: KubeWatchOptions<T>, parts: DiscoveryParts) {
    this.#options = options
    this.#parts = parts
    this.#loop = new Loop(parts, options.on, (signal) => this.#step(signal))
  }

  close(): void {
    this.#loop.close()
  }

  async #step(signal: AbortSignal): Promise<number> {
    // One step: a list that succeeds before each watch that fails is no success.
    if (this.#version === '') await this.#list(signal)
    if (signal.aborted) return 0
    const { clock } = this.#parts
    const began = clock.monotonic()
    if (await this.#watch(signal)) this.#version = ''
    return clock.monotonic() - began < SHORT_MS ? SHORT_MS : 0
  }

  #path(query: Readonly<Record<string, string>>): string {
    const { path, query: own } = this.#options
    return `${path}?${new URLSearchParams({ ...own, ...query }).toString()}`
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { access, read, on } = this.#options
    const base = await access()
    const found = new Map<string, T>()
    let version = ''
    let next = ''
    let pages = 0
    do {
      if (++pages > MAX_PAGES) throw new DiscoveryFault('invalid', `a list of more than ${MAX_PAGES} pages`)
      const path = this.#path({ limit: String(PAGE), ...(next === '' ? {} : { continue: next }) })
      const answer = await askOnce(base, { path, timeoutMs: LIST_MS, maxBytes: MAX_BYTES, signal })
      if (answer.status !== 200) throw refused(base, answer.status)
      const list = mapOf(parseJson(answer.body, 'list'))
      version = versionOf(list)
      if (version === '' || !Array.isArray(list['items'])) throw new DiscoveryFault('invalid', 'no list of objects')
      for (const item of listOf(list['items'])) found.set(uidOf(mapOf(item)), read(mapOf(item)))
      next = textOf(mapOf(list['metadata'])['continue'])
    } while (next !== '' && found.size < MAX_OBJECTS)
    if (signal.aborted) return
    if (next !== '') on.skipped('too_large', `more than ${MAX_OBJECTS} objects`)
    this.#objects.clear()
    for (const [uid, object] of found) this.#objects.set(uid, object)
    this.#version = version
    on.objects([...this.#objects.values()])
  }

  /** Resolves with whether all has to be listed anew. */
  async #watch(signal: AbortSignal): Promise<boolean> {
    const { access, on } = this.#options
    const seconds = WATCH_S + Math.floor((this.#parts.random.next() * WATCH_S) / 2)
    const path = this.#path({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#version,
      timeoutSeconds: String(seconds),
    })
    let gone = false
    try {
      const base = await access()
      const ask = { path, timeoutMs: seconds * 1000 + SLACK_MS, maxBytes: MAX_BYTES, signal }
      const answer = await askLines(base, ask, (line) => {
        gone = this.#event(line)
        if (gone) throw new DiscoveryFault('failed', 'the version is gone')
      })
      if (answer?.status === 410) return true
      if (answer !== null) throw refused(base, answer.status)
      on.alive()
      return false
    } catch (error) {
      if (gone) return true
      // After nonsense nobody knows what was missed; a connection that broke has told all until then.
      if (!(error instanceof DiscoveryFault) || error.reason !== 'unreachable') this.#version = ''
      throw error
    }
  }

  /** Whether the version that was asked for is gone. */
  #event(line: string): boolean {
    const { read, on } = this.#options
    const { type, object: raw } = mapOf(parseJson(line, 'watch'))
    const object = mapOf(raw)
    if (type === 'ERROR') {
      if (object['code'] === 410) return true
      throw new DiscoveryFault('failed', 'the watch was ended by the server')
    }
    const version = versionOf(object)
    if (version === '') throw new DiscoveryFault('invalid', 'watch: an event without a version')
    if (type === 'BOOKMARK') on.alive()
    else if (type === 'DELETED') this.#objects.delete(uidOf(object))
    else if (type !== 'ADDED' && type !== 'MODIFIED') throw new DiscoveryFault('invalid', 'watch: an unknown event')
    else if (this.#objects.size < MAX_OBJECTS || this.#objects.has(uidOf(object)))
      this.#objects.set(uidOf(object), read(object))
    this.#version = version
    if (type !== 'BOOKMARK') on.objects([...this.#objects.values()])
    return false
  }
}
