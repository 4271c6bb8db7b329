import type { Verdict, Verifier, WordVectors } from '../../contracts/semantic.ts'
import { factsOf, type Facts } from './facts.ts'
import { featureNames, features } from './features.ts'
import { evaluate, readTrees, type TreesFile } from './trees.ts'
import { vetoOf } from './veto.ts'

/**
 * What a calibration would serve from at its start: on the open traces (Banking77, CLINC150; scripts/cache-model/verifier-floor.ts)
 * at most 1 wrong in 100 hits lie above it.
 */
export const SERVE_FLOOR = 0.95

/** Raised with every change of what facts or vetoes see. */
const RULES = 3

/** Weights of one kind of vectors; `zh` for texts that are mostly Chinese. */
export interface VerifierFile {
  readonly version: string
  readonly features: readonly string[]
  readonly en: TreesFile
  readonly zh: TreesFile
}

/** Texts with at least this share of Han among their letters are judged by the weights for Chinese. */
const CHINESE = 0.3

/** What a score for Chinese is worth when it comes from characters alone. */
const UNVOUCHED = 0.7

const vouched = (facts: Facts): boolean => {
  for (const at of facts.contentAt) if (facts.known[at] === 1) return true
  return false
}

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
      const score = logistic(evaluate(chinese ? zh : en, values))
      return { score: chinese && !(vouched(question) && vouched(candidate)) ? score * UNVOUCHED : score, veto }
    },
  }
}

const same: Verdict = { score: 1, veto: null }
