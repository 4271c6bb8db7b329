import { readFileSync } from 'node:fs'
import type { Verifier, WordVectors } from '../../contracts/semantic.ts'
import type { Facts } from './facts.ts'
import { createVerifier, type VerifierFile } from './verifier.ts'

/**
 * The verifier with the weights that are shipped, for the cosines of the table that is shipped. words: the table's; null
 * where there is none. Reads some tens of kB: once, at start. Throws if the file is missing or damaged.
 */
export const loadVerifier = (words: WordVectors | null): Verifier<Facts> => {
  const file = new URL('../../../config/semantic/verifier.json', import.meta.url)
  return createVerifier(words, JSON.parse(readFileSync(file, 'utf8')) as VerifierFile)
}
