import type { Verdict, Verifier, WordVectors } from '../../contracts/semantic.ts'
import { factsOf, type Facts } from './facts.ts'
import { featureNames, features } from './features.ts'
import { evaluate, readTrees, type TreesFile } from './trees.ts'
import { vetoOf } from './veto.ts'

/** Raised with every change of what facts or vetoes see. */
const RULES = 1

/** Weights of one kind of vectors; `zh` for texts that are mostly Chinese. */
export interface VerifierFile {
  readonly version: string
  readonly features: readonly string[]
  readonly en: TreesFile
  readonly zh: TreesFile
}

/** Texts with at least this share of Han among their letters are judged by the weights for Chinese. */
const CHINESE = 0.3

const logistic = (value: number): number => 1 / (1 + Math.exp(-value))

/**
 * A verifier. words: null = words are compared by their letters. file: the weights, made for exactly these features; throws
 * if they are not. compare never throws and takes no more than a bounded time, whatever the texts.
 */
export const createVerifier = (words: WordVectors | null, file: VerifierFile): Verifier<Facts> => {
  if (file.features.join() !== featureNames.join()) throw new Error('the weights were made for other features')
  const en = readTrees(file.en, featureNames.length)
  const zh = readTrees(file.zh, featureNames.length)
  const dimensions = words?.dimensions ?? 0
  const values = new Float64Array(featureNames.length)
  return {
    version: `${file.version}.${String(RULES)}${words === null ? '' : `-${words.version}`}`,
    facts: (text) => factsOf(text, words),
    compare: (question, candidate, cosine): Verdict => {
      if (
        question.plain === candidate.plain &&
        question.tail === candidate.tail &&
        vetoOf(question, candidate) === null
      )
        return same
      const veto = vetoOf(question, candidate)
      features(question, candidate, Number.isFinite(cosine) ? cosine : 0, dimensions, values)
      const chinese = Math.max(question.han, candidate.han) >= CHINESE
      return { score: logistic(evaluate(chinese ? zh : en, values)), veto }
    },
  }
}

const same: Verdict = { score: 1, veto: null }
