/**
 * What the semantic cache answers, and how often wrongly: `npm run bench:cache -- --data DIR [--minilm FILE] [--json FILE]
 * [--chart FILE.svg]`, some minutes. DIR has traces.jsonl and pairs.jsonl; every trace is replayed from an empty cache in three
 * orders, Heddle beside fixed thresholds and a bound for each entry on the same vectors. Nothing is tuned to DIR.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadTable } from '../src/cache/embed/table.ts'
import { readTrace } from '../src/cache/simulate-trace.ts'
import { loadVerifier } from '../src/cache/verify/load.ts'
import { precisionChart } from './cache/chart.ts'
import { minilmFrom } from './cache/minilm.ts'
import { pairFigures, type PairFigures } from './cache/pairs.ts'
import { hitShare, kept, ORDERS, runTrace, wrongPerHit, wrongPerRequest, type Result } from './cache/run.ts'

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    minilm: { type: 'string' },
    json: { type: 'string' },
    chart: { type: 'string' },
  },
})
if (values.data === undefined) throw new Error('--data DIR is missing')

/** Least share of hits, by policy and trace. */
const GOALS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'Heddle, 1 % of requests': { qqp: 0.18, banking77: 0.24, clinc150: 0.32, context: 0.34 },
  'Heddle, 2 % of hits': { qqp: 0.17 },
}

const percent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)} %`
const write = (line: string): void => void process.stdout.write(`${line}\n`)

const rows = await readTrace(join(values.data, 'traces.jsonl'))
const traces = [...new Set(rows.map((row) => row.trace))]
const table = loadTable()
const engines = [{ name: 'table', embedder: table, verifier: loadVerifier(table) }]
if (values.minilm !== undefined) {
  engines.push({ name: 'MiniLM', embedder: await minilmFrom(values.minilm), verifier: loadVerifier(table) } as never)
}

const results: Result[] = []
for (const engine of engines) {
  for (const trace of traces) {
    const own = rows.filter((row) => row.trace === trace)
    for (let order = 0; order < ORDERS.length; order++) results.push(...(await runTrace(engine, trace, own, order)))
  }
}

function rowOf(own: readonly Result[]): string {
  const cells = own.map(
    (result) =>
      `${percent(hitShare(result))} / ${percent(wrongPerRequest(result), 2)} / ${percent(wrongPerHit(result))}`,
  )
  const broken = own.filter((result) => kept(result) === false).length
  const promise = own[0]!.promise === null ? '–' : broken === 0 ? 'kept' : `**broken ${broken}×**`
  return `| ${[own[0]!.policy, ...cells, promise].join(' | ')} |`
}

for (const { name } of engines) {
  for (const trace of traces) {
    const own = results.filter((result) => result.engine === name && result.trace === trace)
    write(`\n${trace}, ${name}: hits / wrong per request / wrong per semantic hit\n`)
    write(`| policy | ${ORDERS.join(' | ')} | promise |\n|---|--:|--:|--:|---|`)
    for (const policy of new Set(own.map((result) => result.policy))) {
      write(rowOf(own.filter((result) => result.policy === policy)))
    }
  }
}

const pairs: PairFigures[] = await pairFigures(join(values.data, 'pairs.jsonl'), table, loadVerifier(table))
write('\n| pairs | n | AUC of cosine | AUC of verifier | true pairs taken at 1 % of the false |\n|---|--:|--:|--:|--:|')
for (const { source, pairs: n, cosine, verifier, atOnePercent } of pairs) {
  write(`| ${source} | ${n} | ${cosine.toFixed(3)} | ${verifier.toFixed(3)} | ${percent(atOnePercent)} |`)
}

const own = results.filter((result) => result.engine === 'table')
const promised = own.filter((result) => result.promise !== null)
const broken = promised.filter((result) => kept(result) === false).length
const bars = Object.entries(GOALS).flatMap(([policy, goals]) =>
  Object.entries(goals).map(([trace, goal]) => {
    const shares = own.filter((result) => result.policy === policy && result.trace === trace).map(hitShare)
    const share = shares.reduce((sum, value) => sum + value, 0) / Math.max(1, shares.length)
    return `${trace} at ${policy.slice('Heddle, '.length)} ${percent(share)} (bar ${percent(goal, 0)}: ${share >= goal ? 'met' : 'missed'})`
  }),
)
const inContext = own.filter((result) => result.trace === 'context' && result.promise !== null)
const contextWrong = inContext.reduce((sum, { report }) => sum + report.wrong, 0)
write(
  `\nbench:cache: bounds kept in ${promised.length - broken} of ${promised.length} runs (bar: all: ${broken === 0 ? 'met' : 'missed'}); hits ${bars.join(', ')}; wrong in context ${contextWrong} (bar 0: ${contextWrong === 0 ? 'met' : 'missed'})`,
)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ results, pairs }, null, 2)}\n`)
if (values.chart !== undefined) {
  const drawn = traces.filter((trace) => trace !== 'context')
  writeFileSync(values.chart, precisionChart(own, drawn))
}
