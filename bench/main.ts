/** `npm run bench -- [--profile smoke|quick|full] [--rounds N] [--only a,b] [--skip c] [--json FILE]`; see bench/README.md. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Mock, stopAll } from './machine.ts'
import { Bench } from './measure.ts'
import { PROFILES } from './profiles.ts'
import { BUSY, barLines, closingLine, judge, tables, wasBusy } from './report.ts'
import { Samples } from './samples.ts'
import { HEDDLE, HEDDLE_KEY, TARGETS } from './targets.ts'

const { values } = parseArgs({
  options: {
    profile: { type: 'string', default: 'quick' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    skip: { type: 'string', default: '' },
    streams: { type: 'string' },
    json: { type: 'string' },
  },
})

const fail = (message: string): never => {
  process.stderr.write(`bench: ${message}\n`)
  process.exit(2)
}

const names = (text: string): string[] =>
  text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')

if (process.platform !== 'linux') fail('reads process times from /proc and pins with taskset: it runs on Linux only')
const base =
  PROFILES[values.profile] ?? fail(`no profile ${values.profile}; there are ${Object.keys(PROFILES).join(', ')}`)
const holdStreams = values.streams === undefined ? base.holdStreams : names(values.streams).map(Number)
const profile = { ...base, holdStreams }
const rounds = values.rounds === undefined ? profile.rounds : Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1) fail('--rounds takes a whole number from 1')

const wanted = values.only === undefined ? profile.targets : names(values.only)
const known = TARGETS.map(({ name }) => name)
const unknown = [...wanted, ...names(values.skip)].filter((name) => !known.includes(name))
if (unknown.length > 0) fail(`no target ${unknown.join(', ')}; there are ${known.join(', ')}`)
// The order of the table in targets.ts, whatever the order asked for: neighbours in it are compared most closely.
const targets = TARGETS.filter(({ name }) => wanted.includes(name) && !names(values.skip).includes(name))

const say = (line: string): void => void process.stderr.write(`${line}\n`)
const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
let keepLogs = false

const finish = async (code: number): Promise<never> => {
  await stopAll()
  if (keepLogs) say(`logs of the targets are in ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
  process.exit(code)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void finish(130))

const samples = new Samples()
const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}, Node ${process.version}`
try {
  const mock = await Mock.start(join(folder, 'mock.log'))
  const bench = new Bench(profile, samples, mock, folder, say)
  for (let round = 0; round < rounds; round++) await bench.round(targets, round)
  if (targets.some(({ name }) => name === HEDDLE_KEY)) await bench.inProcess()
  const bars = targets.some(({ name }) => name === HEDDLE) ? judge(samples, holdStreams) : []
  const problems = Object.fromEntries(bench.problems)
  const absent = Object.fromEntries(bench.absent)
  console.log(`${machine}; profile ${values.profile}, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}\n`)
  console.log(`${tables(samples, holdStreams)}\n`)
  if (bars.length > 0) console.log(`${barLines(bars)}\n`)
  if (wasBusy(samples)) console.log(`- ${BUSY}`)
  for (const [name, list] of bench.problems) console.log(`- PROBLEM, ${name}: ${list.join('; ')}`)
  if (values.json !== undefined) {
    const report = {
      at: new Date().toISOString(),
      machine,
      profile: values.profile,
      rounds,
      bars,
      problems,
      absent,
      samples,
    }
    writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
  }
  console.log(bars.length > 0 ? closingLine(samples, bars) : 'bench: Heddle was not among the targets')
  // A figure of a target that failed requests is no figure; bars that are not met are a finding, not a failure to measure.
  keepLogs = bench.problems.size > 0
  await finish(bench.problems.has(HEDDLE) ? 1 : 0)
} catch (error) {
  keepLogs = true
  say(`bench: ${error instanceof Error ? error.message : String(error)}`)
  await finish(1)
}
