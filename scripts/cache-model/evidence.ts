/**
 * Makes config/semantic/evidence.json: `node scripts/cache-model/evidence.ts --traces FILE [--out FILE] [--hold-out TRACE]`. Trained on
 * Banking77 (CC BY 4.0) and CLINC150 (CC BY 3.0) alone; questions of Quora are for measuring. Each is replayed with nothing served,
 * whole and thinned, so that the model sees caches that are dense and caches where most questions are new.
 */
import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { loadTable } from '../../src/cache/embed/table.ts'
import { FEATURES, readEvidence } from '../../src/cache/decide/features.ts'
import { simulate, type Policy } from '../../src/cache/simulate.ts'
import { readTrace, type TraceRow } from '../../src/cache/simulate-trace.ts'
import { loadVerifier } from '../../src/cache/verify/load.ts'
import type { Candidate } from '../../src/contracts/semantic.ts'
import { fitLogistic, type Sample } from './evidence-train.ts'

const TRAINED_ON = ['banking77', 'clinc150']
/** One of so many rows is kept, and how often that is done. */
const THINNED: readonly (readonly [every: number, times: number])[] = [
  [1, 1],
  [6, 3],
  [20, 10],
  [50, 20],
]

class Collector implements Policy {
  readonly neighbours = 8
  readonly keepsAgreeing = true
  readonly action = 'miss'
  readonly samples: Sample[] = []
  readonly #values = new Float64Array(FEATURES.length)

  choose(candidates: readonly Candidate[]): number {
    return readEvidence(candidates, this.#values)
  }

  learn(_chosen: Candidate, wrong: boolean): void {
    this.samples.push({ values: Float64Array.from(this.#values), wrong, weight: 1 })
  }
}

const { values } = parseArgs({
  options: {
    traces: { type: 'string' },
    out: { type: 'string', default: 'config/semantic/evidence.json' },
    'hold-out': { type: 'string', default: '' },
  },
})
if (values.traces === undefined) throw new Error('--traces FILE is missing')
const rows = await readTrace(values.traces)
const embedder = loadTable()
const verifier = loadVerifier(embedder)

async function samplesOf(part: readonly TraceRow[]): Promise<Sample[]> {
  const policy = new Collector()
  await simulate(part, { embedder, verifier, policy })
  return policy.samples
}

const samples: Sample[] = []
for (const trace of TRAINED_ON) {
  if (trace === values['hold-out']) continue
  const own = rows.filter((row) => row.trace === trace)
  for (const [every, times] of THINNED) {
    for (let phase = 0; phase < times; phase++) {
      samples.push(...(await samplesOf(own.filter((_, i) => i % every === phase))))
    }
  }
}
const { bias, weights } = fitLogistic(samples)
const round = (value: number): number => Number(value.toPrecision(6))
const model = { features: FEATURES, bias: round(bias), weights: weights.map(round) }
// With other weights the bands mean something else: what was learnt about them must not be taken over.
const file = { version: hash('sha256', JSON.stringify(model)).slice(0, 8), ...model }
writeFileSync(values.out, `${JSON.stringify(file, null, 2)}\n`)
process.stdout.write(`${samples.length} samples, ${samples.filter((sample) => sample.wrong).length} of them wrong\n`)
FEATURES.forEach((name, i) => process.stdout.write(`${name.padEnd(18)} ${weights[i]!.toFixed(3)}\n`))
