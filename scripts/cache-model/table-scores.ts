import { readFileSync, writeFileSync } from 'node:fs'
import { loadTable } from '../../src/cache/embed/table.ts'

/**
 * Cosines of labelled pairs as the gateway computes them, for table_eval.py:
 *
 *     node scripts/cache-model/table-scores.ts pairs.jsonl scores.json [table.bin]
 */
const [pairs, out, table] = process.argv.slice(2)
if (pairs === undefined || out === undefined) throw new Error('which pairs, and where to?')
const embedder = table === undefined ? loadTable() : loadTable(table)
const scores = readFileSync(pairs, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => {
    const { text_a: left, text_b: right } = JSON.parse(line) as { text_a: string; text_b: string }
    const [a, b] = [embedder.embed(left), embedder.embed(right)]
    const sum = a.values.reduce((total, value, at) => total + value * b.values[at]!, 0)
    return a.norm * b.norm > 0 ? sum / (a.norm * b.norm) : 0
  })
writeFileSync(out, JSON.stringify(scores))
