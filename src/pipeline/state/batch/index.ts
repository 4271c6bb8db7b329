import type { Exchange } from '../../exchange.ts'
import type { RunnerParts } from './runner.ts'
import type { GatewayError } from '../../../core/errors.ts'
import { compileGlobs } from '../../../core/glob.ts'
import { BatchEndpoints } from './endpoints.ts'
import { Runner } from './runner.ts'
import { Vault, type VaultParts } from './vault.ts'

export interface BatchesParts extends VaultParts, Omit<RunnerParts, 'vault' | 'runs'> {}

/** The Batch API of OpenAI for models that run here. */
export class Batches {
  readonly #runner: Runner
  readonly #endpoints: BatchEndpoints

  constructor(parts: BatchesParts) {
    const vault = new Vault(parts)
    const runs = compileGlobs(parts.config.models)
    this.#runner = new Runner({ ...parts, vault, runs })
    this.#endpoints = new BatchEndpoints(vault, this.#runner, runs)
  }

  takes(x: Exchange): boolean {
    return this.#endpoints.takes(x)
  }

  failOpen(error: GatewayError): void {
    this.#runner.failAll(error)
  }

  /** Resolves when the lines that are under way have ended and are put away. */
  close(): Promise<void> {
    return this.#runner.close()
  }
}
