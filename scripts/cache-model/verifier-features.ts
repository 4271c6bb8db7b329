import { readFileSync, writeFileSync } from 'node:fs'
import { cosine } from './verifier-cosine.ts'
import { loadTable } from '../../src/cache/embed/table.ts'
import { factsOf } from '../../src/cache/verify/facts.ts'
import { featureNames, features } from '../../src/cache/verify/features.ts'
import { vetoOf } from '../../src/cache/verify/veto.ts'

/**
 * Features of pairs as the gateway itself computes them, for verifier_train.py. usage: verifier-features.ts PAIRS OUT [TABLE]
 * PAIRS: JSON lines {"a","b","label"} or {"text_a","text_b","label"}. OUT: JSON lines {"label","source","weight","veto","x"}.
 */
const [pairs, out, path] = process.argv.slice(2)
if (pairs === undefined || out === undefined) throw new Error('usage: verifier-features.ts PAIRS OUT [TABLE]')
const table = path === undefined ? loadTable() : loadTable(path)
const values = new Float64Array(featureNames.length)
const lines = [JSON.stringify(featureNames)]
for (const line of readFileSync(pairs, 'utf8').split('\n')) {
  if (line === '') continue
  const pair = JSON.parse(line) as Record<string, string | number>
  const one = String(pair['a'] ?? pair['text_a'])
  const other = String(pair['b'] ?? pair['text_b'])
  const a = factsOf(one, table)
  const b = factsOf(other, table)
  const near = cosine(table.embed(one), table.embed(other))
  features(a, b, near, table.dimensions, values)
  const chinese = Math.max(a.han, b.han) >= 0.3
  lines.push(
    JSON.stringify({
      label: pair['label'],
      source: pair['source'] ?? pair['kind'] ?? '',
      weight: pair['weight'] ?? 1,
      veto: vetoOf(a, b),
      chinese,
      x: Array.from(values, (value) => Number(value.toFixed(4))),
    }),
  )
}
writeFileSync(out, `${lines.join('\n')}\n`)
