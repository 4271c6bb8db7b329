/** Proofs that something came from this model: seeded, so that simulators with one seed accept each other's. */
import { createHmac } from 'node:crypto'
import type { SimState } from './call.ts'

export type SealKind = 'thinking' | 'redacted' | 'thought' | 'bedrock'

/** Base64, 88 characters. */
export const seal = (state: Pick<SimState, 'seed'>, kind: SealKind, text: string): string =>
  createHmac('sha512', `sim/${state.seed}/${kind}`).update(text).digest('base64')

export const isSealed = (state: Pick<SimState, 'seed'>, kind: SealKind, text: string, proof: string): boolean =>
  seal(state, kind, text) === proof
