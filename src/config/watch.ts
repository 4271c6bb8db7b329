import { createHash } from 'node:crypto'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { everyUnref } from '../core/every.ts'

export interface WatchOptions {
  /** The file or folder that was loaded. */
  readonly source: string
  /** Files that `${file:..}` named, from `LoadedConfig.files`; change them later with `setFiles`. */
  readonly files?: readonly string[]
  /** Called once per settled change. What it throws or rejects with goes to `onError`. */
  readonly onChange: () => void | Promise<void>
  readonly onError?: (error: unknown) => void
  /** Time between two looks, ms. */
  readonly intervalMs?: number
  /** Replaced in tests; returns what stops it. */
  readonly every?: (task: () => void, intervalMs: number) => () => void
}

export interface ConfigWatcher {
  /** Looks at once; for SIGHUP and tests. Settles when the look, and `onChange` if it came to that, are done. */
  readonly check: () => Promise<void>
  /** After a reload: the files that the new configuration uses. `onChange` may await it. */
  readonly setFiles: (files: readonly string[]) => Promise<void>
  /**
   * Before a reload that nobody's look asked for: notes what is there now. Call the result when that has been read, and
   * no look reports it again; what changes in between is still reported. Call it in any case: until then nobody looks.
   * taken false = it could not be read, so that the next look may report it.
   */
  readonly note: () => Promise<(taken: boolean) => void>
  readonly close: () => void
}

const INTERVAL_MS = 500

/** In a volume of kubelet each state is a folder of its own, complete when it appears. */
const SWAPPED = /\/\.\.[^/]+\//

interface Seen {
  /** Where it lies behind all links. */
  readonly real: string
  readonly stamp: string
  readonly hash: string
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'

/** Reads a file again only when its stat differs: polling many secrets each second must cost next to nothing. */
const fingerprint = async (path: string, known: Map<string, Seen>): Promise<string> => {
  try {
    const real = await realpath(path)
    const { mtimeNs, ctimeNs, size, ino } = await stat(real, { bigint: true })
    const stamp = `${real}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
    const seen = known.get(path)
    if (seen?.stamp === stamp) return seen.hash
    const hash = createHash('sha256')
      .update(await readFile(real))
      .digest('base64')
    known.set(path, { real, stamp, hash })
    return hash
  } catch (error) {
    // A file that is away for a moment (between unlink and rename) is a state like any other, not a failure.
    known.delete(path)
    return codeOf(error)
  }
}

const filesOf = async (source: string): Promise<readonly string[]> => {
  try {
    if (!(await stat(source)).isDirectory()) return [source]
    const names = await readdir(source)
    return names
      .filter((name) => /^[^.].*\.ya?ml$/.test(name))
      .sort()
      .map((name) => join(source, name))
  } catch {
    return [source]
  }
}

const same = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([path, hash]) => b.get(path) === hash)

/**
 * Polls contents instead of listening for file events: that holds for ConfigMap `..data` symlink swaps, atomic
 * renames, network volumes and folders alike, and names that begin with `..` are no files of ours. A change counts when
 * two looks in a row see the same new state, so that a half-written file is not loaded; at once where files are replaced
 * as a whole.
 */
export const watchConfig = async (options: WatchOptions): Promise<ConfigWatcher> => {
  const { onChange, onError, intervalMs = INTERVAL_MS, every = everyUnref } = options
  const known = new Map<string, Seen>()
  let closed = false

  const hashes = async (paths: readonly string[]): Promise<Map<string, string>> =>
    new Map(await Promise.all(paths.map(async (path) => [path, await fingerprint(path, known)] as const)))

  /** What is loaded: the source as a set (files may come and go), the others each for itself. */
  let source: ReadonlyMap<string, string> = await hashes(await filesOf(options.source))
  let others = await hashes(options.files ?? [])
  let pending: ReadonlyMap<string, string> | undefined

  const settleOn = (now: ReadonlyMap<string, string>, nowOthers: ReadonlyMap<string, string>): void => {
    source = now
    for (const [path, hash] of nowOthers) if (others.has(path)) others.set(path, hash)
    pending = undefined
  }

  /** All that has changed was replaced as a whole. */
  const isWhole = (state: ReadonlyMap<string, string>): boolean => {
    const before = new Map([...others, ...source])
    const touched = [...state].filter(([path, hash]) => before.get(path) !== hash).map(([path]) => path)
    return touched.length > 0 && touched.every((path) => SWAPPED.test(known.get(path)?.real ?? ''))
  }

  /** Somebody is reading what changed: a look now would report it once more. */
  let noted = 0

  const run = async (): Promise<void> => {
    if (closed || noted > 0) return
    const now = await hashes(await filesOf(options.source))
    const watched = [...others.keys()].filter((path) => !now.has(path))
    const nowOthers = await hashes(watched)
    const state = new Map([...now, ...nowOthers])
    const changed =
      !same(now, source) || watched.some((path) => others.has(path) && others.get(path) !== nowOthers.get(path))
    if (!changed) pending = undefined
    else if (!isWhole(state) && (pending === undefined || !same(state, pending))) pending = state
    else {
      settleOn(now, nowOthers)
      try {
        await onChange()
      } catch (error) {
        onError?.(error)
      }
    }
  }

  // One look at a time: a slow volume must not pile them up.
  let tail: Promise<void> = Promise.resolve()
  const check = (): Promise<void> => (tail = tail.then(run))
  let waiting = false
  const stop = every(() => {
    if (waiting) return
    waiting = true
    void check().finally(() => (waiting = false))
  }, intervalMs)

  return {
    check,
    // Not in turn with the looks: `onChange`, which a look waits for, calls and awaits this.
    setFiles: async (files) => {
      const added = await hashes(files.filter((path) => !others.has(path)))
      others = new Map(files.map((path) => [path, others.get(path) ?? added.get(path) ?? '']))
    },
    note: async () => {
      noted++
      const now = await hashes(await filesOf(options.source))
      const nowOthers = await hashes([...others.keys()])
      let open = true
      return (taken) => {
        if (open) noted--
        if (open && taken) settleOn(now, nowOthers)
        open = false
      }
    },
    close: () => {
      closed = true
      stop()
    },
  }
}
