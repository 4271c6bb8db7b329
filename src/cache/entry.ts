import type { Usage } from '../contracts/usage.ts'

/** An answer that is kept. Never changed. */
export interface Entry {
  /** Of no meaning, unique in the process; told to clients, so that they can say that it was wrong. */
  readonly id: string
  /** By which it is found. */
  readonly key: string
  readonly partition: string
  /** What it answers, where that is one text; else null. */
  readonly question: string | null
  /** Who counts together what semantic hits were worth; '' = it is not found by meaning. */
  readonly scope: string
  /** Whole answer in its client's dialect, JSON. */
  readonly body: Buffer
  /** What it says, without anything around it; '' = it has no text (vectors). */
  readonly text: string
  readonly usage: Usage | null
  /** What it cost to make, billionths of a US dollar. */
  readonly nanoUsd: number
  /** Who made it. */
  readonly target: string
  /** By a simulated model: it has to say so each time. */
  readonly simulated: boolean
  readonly model: string
  /** For whom: whose it is to purge and to count. */
  readonly tenant: string
  readonly principal: string
  readonly tags: readonly string[]
  /** Epoch ms. */
  readonly createdAt: number
  readonly expiresAt: number
}
