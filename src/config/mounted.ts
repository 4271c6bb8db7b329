import { realpathSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { readSecretFile } from './interpolate.ts'
import { loadConfig, type LoadedConfig, type LoadOptions } from './load.ts'
import { ConfigError, type Problem } from './problem.ts'

/** How kubelet mounts ConfigMaps, Secrets and projected volumes (kubernetes `atomic_writer.go`). */
const DATA = '..data'
/** A set that changes this often while it is read is changing all the time. */
const TRIES = 8

/**
 * Folders as they are at one moment. Kubelet shows each file of a volume as a link into `..data`, itself a link to a
 * folder that it replaces by one rename(2): read through the folder behind the link, the files of a volume belong
 * together, however often they are replaced meanwhile.
 */
class Moment {
  /** Folder -> where its `..data` led; null = it has none. */
  readonly #folders = new Map<string, string | null>()
  readonly #data: (folder: string) => string | null

  constructor(data: (folder: string) => string | null = dataOf) {
    this.#data = data
  }

  folder(path: string): string | null {
    let real = this.#folders.get(path)
    if (real === undefined) {
      real = this.#data(path)
      this.#folders.set(path, real)
    }
    return real
  }

  /** Where the file was at that moment. Files of subfolders, which a projected volume may have, included. */
  file(path: string): string {
    // A relative name in a file of the volume: it is there already.
    for (const real of this.#folders.values()) if (real !== null && within(path, real) !== null) return path
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const real = this.folder(folder)
      if (real !== null) return join(real, relative(folder, path))
      if (dirname(folder) === folder) return path
    }
  }

  /** Some folder has been replaced since. */
  get over(): boolean {
    return [...this.#folders].some(([path, real]) => this.#data(path) !== real)
  }
}

const dataOf = (folder: string): string | null => {
  try {
    return realpathSync(join(folder, DATA))
  } catch {
    return null
  }
}

const within = (path: string, folder: string): string | null => {
  const rest = relative(folder, path)
  return rest.startsWith('..') && (rest === '..' || rest.startsWith('../')) ? null : isAbsolute(rest) ? null : rest
}

/** Names of files as the operator knows them, in place of where they were read. */
const named = (problem: Problem, real: string, shown: string): Problem => {
  const rest = within(problem.file, real)
  const file = rest === null ? problem.file : join(shown, rest)
  return { ...problem, file, message: problem.message.replaceAll(real, shown) }
}

/**
 * Like `loadConfig`, for files that are replaced while they are read: what it returns, and what it complains of, is one
 * state of each volume, never a mix. Throws ConfigError.
 */
export function loadMounted(source: string | null, options: LoadOptions): LoadedConfig {
  for (let left = TRIES; ; left--) {
    const moment = new Moment()
    try {
      return loadAt(moment, source, options)
    } catch (error) {
      // What is missing may just have been replaced.
      if (left === 0 || !(error instanceof ConfigError) || !moment.over) throw error
    }
  }
}

function loadAt(moment: Moment, source: string | null, options: LoadOptions): LoadedConfig {
  const readFile = options.readFile ?? readSecretFile
  const pinned: LoadOptions = { ...options, readFile: (path) => readFile(moment.file(path)) }
  if (source === null) return loadConfig(null, pinned)
  const full = resolve(source)
  const asFolder = moment.folder(full)
  const shown = asFolder === null ? dirname(full) : full
  const real = asFolder ?? moment.folder(shown)
  // Not mounted that way: read as it is, under the name that was given.
  if (real === null) return loadConfig(source, pinned)
  try {
    const loaded = loadConfig(asFolder === null ? join(real, basename(full)) : real, pinned)
    const files = loaded.files.map((file) => {
      const rest = within(file, real)
      return rest === null ? file : join(shown, rest)
    })
    return { ...loaded, files }
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(error.problems.map((p) => named(p, real, shown)))
    throw error
  }
}
