import { readFileSync, realpathSync, statSync } from 'node:fs'
import type { Clock } from '../../core/clock.ts'
import { everyUnref } from '../../core/every.ts'
import { MAX_BYTES, SvidFault, whyNot, type Material } from './material.ts'
import type { StartSource } from './source.ts'

export interface FilesOptions {
  readonly cert: string
  readonly key: string
  readonly bundle: string
  readonly trustDomains: readonly string[]
}

interface FilesParts {
  readonly clock: Clock
  /** Replaced in tests; returns what stops it. */
  readonly every?: (task: () => void, intervalMs: number) => () => void
}

const LOOK_MS = 500
/** A pair that does not fit is one that is being written, for this long, ms. */
const HALF_WRITTEN_MS = 10_000
/** In a volume of kubelet each state is a folder of its own, complete when it appears (kubernetes `atomic_writer.go`). */
const SWAPPED = /\/\.\.[^/]+\//

interface Look {
  /** Tells one state of the files from another. */
  readonly stamp: string
  /** All files were replaced as a whole. */
  readonly whole: boolean
}

const readSmall = (path: string): string => {
  if (statSync(path).size > MAX_BYTES) throw new SvidFault('unreadable', `${path} is too large`)
  return readFileSync(path, 'utf8')
}

/** Looks at the files again and again; a state is read once, and again while it may be half-written. */
class FileWatch {
  readonly #options: FilesOptions
  /** Of the last look; what two looks see alike is complete. */
  #seen = ''
  /** The state that was taken, or is given up. */
  #done = ''
  /** Since when the files do not fit; Clock.monotonic. */
  #oddSince: number | null = null

  constructor(options: FilesOptions) {
    this.#options = options
  }

  #look(): Look {
    const { cert, key, bundle } = this.#options
    const reals = [cert, key, bundle].map((path) => realpathSync(path))
    const stamps = reals.map((real) => {
      const { ino, size, mtimeNs } = statSync(real, { bigint: true })
      return `${real}:${ino}:${size}:${mtimeNs}`
    })
    return { stamp: stamps.join('\n'), whole: reals.every((real) => SWAPPED.test(real)) }
  }

  /** Null = nothing new. Throws SvidFault for what is not to be waited for any more, each state once. */
  next(now: number, offer: (material: Material) => void): void {
    let look: Look
    try {
      look = this.#look()
    } catch (error) {
      const { code = 'unreadable', path = '' } = error as NodeJS.ErrnoException
      this.#odd(`${code} ${path}`, new SvidFault('source', `${path} cannot be read: ${code}`), now)
      return
    }
    if (look.stamp === this.#done) return
    const settled = look.whole || look.stamp === this.#seen || this.#seen === ''
    this.#seen = look.stamp
    if (!settled) return
    const refused = whyNot(() => this.#read(look, offer))
    if (refused !== null) this.#odd(look.stamp, refused, now)
  }

  #read({ stamp }: Look, offer: (material: Material) => void): void {
    const { cert, key, bundle, trustDomains } = this.#options
    const material = { cert: readSmall(cert), key: readSmall(key), bundle: readSmall(bundle), trustDomains }
    // Replaced while they were read: they may be of two states.
    if (this.#look().stamp !== stamp) return
    offer(material)
    this.#done = stamp
    this.#oddSince = null
  }

  /** Files that are missing or do not fit may be on their way; an expired certificate is none that is. */
  #odd(state: string, fault: SvidFault, now: number): void {
    if (state === this.#done) return
    this.#oddSince ??= now
    if (fault.reason !== 'expired' && now - this.#oddSince < HALF_WRITTEN_MS) return
    this.#done = state
    this.#oddSince = null
    throw fault
  }
}

/** PEM files as Istio's agent (`OUTPUT_CERTS`), SPIFFE helpers and cert-manager write them. */
export const startFiles =
  (options: FilesOptions, { clock, every = everyUnref }: FilesParts): StartSource =>
  (hooks) => {
    const watch = new FileWatch(options)
    const look = (): void => {
      const refused = whyNot(() => watch.next(clock.monotonic(), (material) => hooks.offer(material)))
      if (refused !== null) hooks.fault(refused)
    }
    look()
    return every(look, LOOK_MS)
  }
