import { readFileSync } from 'node:fs'
import { cosine } from './verifier-cosine.ts'
import type { TextVector } from '../../src/contracts/semantic.ts'
import { loadTable } from '../../src/cache/embed/table.ts'
import type { Facts } from '../../src/cache/verify/facts.ts'
import { createVerifier, type VerifierFile } from '../../src/cache/verify/verifier.ts'

/**
 * Replays traces: each request against the eight nearest before it, served by the best score without a veto. Prints which
 * score keeps wrong answers below a share of requests or hits, and how many hits that leaves; cosine alone beside it.
 * usage: verifier-floor.ts TRACES [WEIGHTS] [TABLE]
 */
const NEAREST = 8
const [traces, weights, path] = process.argv.slice(2)
if (traces === undefined) throw new Error('usage: verifier-floor.ts TRACES [WEIGHTS] [TABLE]')
const table = path === undefined ? loadTable() : loadTable(path)
const file = new URL('../../config/semantic/verifier.json', import.meta.url)
const verifier = createVerifier(table, JSON.parse(readFileSync(weights ?? file, 'utf8')) as VerifierFile)

interface Seen {
  readonly cls: string
  readonly point: TextVector
  readonly facts: Facts
}

interface Best {
  readonly score: number
  readonly right: boolean
}

const nearest = (seen: readonly Seen[], point: TextVector): readonly (readonly [number, number])[] =>
  seen
    .map((one, at) => [cosine(one.point, point), at] as const)
    .toSorted((a, b) => b[0] - a[0])
    .slice(0, NEAREST)

const judge = (title: string, best: readonly Best[], requests: number): void => {
  const sorted = best.toSorted((a, b) => b.score - a.score)
  for (const [name, share, perHit] of [
    ['wrong/request 1 %', 0.01, false],
    ['wrong/hit 2 %', 0.02, true],
    ['wrong/hit 1 %', 0.01, true],
  ] as const) {
    let wrong = 0
    let at = -1
    sorted.forEach((one, index) => {
      if (!one.right) wrong++
      if (wrong / (perHit ? index + 1 : requests) <= share) at = index
    })
    const floor = sorted[at]?.score ?? Number.NaN
    process.stdout.write(
      `${title} ${name}: ${((100 * (at + 1)) / requests).toFixed(1)} % hits above ${floor.toFixed(4)}\n`,
    )
  }
}

const rows = readFileSync(traces, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { trace: string; prompt?: string; cls: string })
for (const trace of new Set(rows.map((row) => row.trace))) {
  const seen: Seen[] = []
  const scores: Best[] = []
  const cosines: Best[] = []
  let requests = 0
  for (const row of rows) {
    if (row.trace !== trace || row.prompt === undefined) continue
    requests++
    const point = table.embed(row.prompt)
    const facts = verifier.facts(row.prompt)
    let top: Best = { score: -1, right: false }
    const found = nearest(seen, point)
    for (const [near, at] of found) {
      const other = seen[at]
      if (other === undefined) continue
      const verdict = verifier.compare(facts, other.facts, near)
      if (verdict.veto === null && verdict.score > top.score)
        top = { score: verdict.score, right: other.cls === row.cls }
    }
    const first = found[0]
    if (first !== undefined) cosines.push({ score: first[0], right: seen[first[1]]?.cls === row.cls })
    if (top.score >= 0) scores.push(top)
    seen.push({ cls: row.cls, point, facts })
  }
  if (requests === 0) continue
  judge(`${trace} cosine`, cosines, requests)
  judge(`${trace} score `, scores, requests)
}
