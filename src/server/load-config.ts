import { fork } from 'node:child_process'
import { getCompileCacheDir } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { LoadedConfig, ServerOverrides } from '../config/load.ts'
import type { Problem } from '../config/problem.ts'
import type { MeshKind } from '../contracts/config-mesh.ts'
import { ConfigError } from '../config/problem.ts'

export interface LoadRequest {
  /** File or folder; null = zero configuration from the environment. */
  readonly source: string | null
  readonly overrides: ServerOverrides
  /** What was found around the process: what is configured must fit it. Null = not looked for yet. */
  readonly mesh: MeshKind | null
}

export type LoadReply =
  | { readonly loaded: LoadedConfig }
  | { readonly problems: readonly Problem[] }
  | { readonly fault: string }

/** Starts reading what the options of `heddle serve` name. Rejects with ConfigError. */
export function loadFor(
  { config, ...overrides }: ServerOverrides & { readonly config?: string },
  mesh: MeshKind | null = null,
): Promise<LoadedConfig> {
  return loadConfigApart({ source: config ?? null, overrides, mesh })
}

const MAX_COMPLAINT = 1000

/**
 * Reads the configuration in a process of its own that ends afterwards: parser and schemas take some 25 MB and tens of
 * milliseconds, and the process that serves should have neither. (A thread gives little of its memory back.) The
 * answer, secrets included, comes over a private pipe. Rejects with ConfigError.
 */
function loadConfigApart(request: LoadRequest): Promise<LoadedConfig> {
  return new Promise((resolve, reject) => {
    const suffix = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const cache = getCompileCacheDir()
    const child = fork(fileURLToPath(new URL(`./config-process.${suffix}`, import.meta.url)), {
      serialization: 'advanced',
      execArgv: [],
      // Not our own output: starting a process puts what it inherits into blocking mode, for us as well.
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: cache },
    })
    child.once('message', (reply: LoadReply) => {
      child.disconnect()
      if ('loaded' in reply) resolve(reply.loaded)
      else if ('problems' in reply) reject(new ConfigError(reply.problems))
      else reject(new Error(reply.fault))
    })
    let complaint = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint = `${complaint}${chunk.toString()}`.slice(-MAX_COMPLAINT)
    })
    child.once('error', reject)
    child.once('close', (code) =>
      reject(new Error(`reading the configuration ended with code ${code}: ${complaint.trim()}`)),
    )
    child.send(request)
  })
}
