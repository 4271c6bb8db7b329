import { readFileSync } from 'node:fs'
import type { Embedder, Verifier } from '../../src/contracts/semantic.ts'

interface Pair {
  readonly text_a: string
  readonly text_b: string
  readonly label: 0 | 1
  readonly source: string
}

export interface PairFigures {
  readonly source: string
  readonly pairs: number
  readonly cosine: number
  readonly verifier: number
  /** Of the true pairs, where 1 % of the false ones are taken. */
  readonly atOnePercent: number
}

interface Scored {
  readonly label: 0 | 1
  readonly cosine: number
  readonly score: number
}

/** Chance that a true pair is above a false one; ties count half. */
export function areaUnder(scored: readonly { readonly label: 0 | 1; readonly value: number }[]): number {
  const sorted = [...scored].sort((a, b) => a.value - b.value)
  let ranks = 0
  let trues = 0
  for (let from = 0; from < sorted.length;) {
    let to = from
    while (to < sorted.length && sorted[to]!.value === sorted[from]!.value) to++
    const rank = (from + to + 1) / 2
    for (let i = from; i < to; i++) {
      if (sorted[i]!.label === 1) {
        ranks += rank
        trues++
      }
    }
    from = to
  }
  const falses = sorted.length - trues
  return trues === 0 || falses === 0 ? NaN : (ranks - (trues * (trues + 1)) / 2) / (trues * falses)
}

function takenAt(scored: readonly Scored[], share: number): number {
  const falses = scored.filter((pair) => pair.label === 0).map((pair) => pair.score)
  const limit = falses.sort((a, b) => b - a)[Math.floor(falses.length * share)] ?? Infinity
  const trues = scored.filter((pair) => pair.label === 1)
  return trues.filter((pair) => pair.score > limit).length / trues.length
}

/** A pair that a veto forbids has the least score. */
export async function pairFigures<Facts>(
  path: string,
  embedder: Embedder,
  verifier: Verifier<Facts>,
): Promise<PairFigures[]> {
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  const bySource = new Map<string, Scored[]>()
  for (const line of lines) {
    const { text_a, text_b, label, source } = JSON.parse(line) as Pair
    const [a, b] = [await embedder.embed(text_a), await embedder.embed(text_b)]
    let dot = 0
    if (a !== null && b !== null) for (let i = 0; i < a.values.length; i++) dot += a.values[i]! * b.values[i]!
    const cosine = a === null || b === null || a.norm === 0 || b.norm === 0 ? 0 : dot / (a.norm * b.norm)
    const verdict = verifier.compare(verifier.facts(text_a), verifier.facts(text_b), cosine)
    const scored = { label, cosine, score: verdict.veto === null ? verdict.score : -1 }
    for (const name of [source, 'all']) {
      const list = bySource.get(name)
      if (list === undefined) bySource.set(name, [scored])
      else list.push(scored)
    }
  }
  return [...bySource].map(([source, list]) => ({
    source,
    pairs: list.length,
    cosine: areaUnder(list.map(({ label, cosine }) => ({ label, value: cosine }))),
    verifier: areaUnder(list.map(({ label, score }) => ({ label, value: score }))),
    atOnePercent: takenAt(list, 0.01),
  }))
}
