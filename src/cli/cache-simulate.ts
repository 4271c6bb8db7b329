import { resolve } from 'node:path'
import { Calibrator, GRACE, type Estimate } from '../cache/decide/calibrator.ts'
import { loadEvidence } from '../cache/decide/evidence.ts'
import { loadTable } from '../cache/embed/table.ts'
import { CalibratedPolicy, simulate, type Policy, type SimulationReport } from '../cache/simulate.ts'
import { loadVerifier } from '../cache/verify/load.ts'
import { parsePercent } from '../config/units.ts'
import type { Candidate, ErrorBound } from '../contracts/semantic.ts'
import { seededRandom } from '../sim/random.ts'
import { readTraceText, type ReadTrace } from './cache-trace.ts'
import { EXIT, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { Io } from './io.ts'

/** What others serve from: thresholds that are set once and for all. */
const COSINES = [0.8, 0.9, 0.95] as const
const SEED = 1
const DEFAULT_BOUND = 0.01
const DEFAULT_CONFIDENCE = 0.95

/** The nearest, from a cosine on. */
class FixedThreshold implements Policy {
  readonly neighbours = 1
  readonly keepsAgreeing = true
  action: 'hit' | 'miss' = 'miss'
  readonly #least: number

  constructor(least: number) {
    this.#least = least
  }

  choose(candidates: readonly Candidate[]): number {
    const nearest = candidates[0]
    this.action = nearest !== undefined && nearest.cosine >= this.#least ? 'hit' : 'miss'
    return nearest === undefined ? -1 : 0
  }

  learn(): void {}
}

interface Row {
  readonly policy: string
  readonly report: SimulationReport
}

function shareOf(args: ParsedArgs, io: Io, name: string): number | undefined {
  const text = textFlag(COMMANDS.cache, args, name, io.env)
  if (text === undefined) return undefined
  const share = parsePercent(text) ?? (/^0?\.\d{1,6}$/.test(text) ? Number(text) : Number.NaN)
  if (share > 0 && share < 1) return share
  throw new UsageError(`\`--${name}\` must be a share such as \`1%\`, more than 0% and less than 100%, not \`${text}\``)
}

function boundOf(args: ParsedArgs, io: Io): ErrorBound {
  const perRequest = shareOf(args, io, 'max-wrong-per-request')
  const perHit = shareOf(args, io, 'max-wrong-per-hit')
  const confidence = shareOf(args, io, 'confidence') ?? DEFAULT_CONFIDENCE
  if (perRequest !== undefined && perHit !== undefined)
    throw new UsageError('say `--max-wrong-per-request` or `--max-wrong-per-hit`, not both')
  return perHit === undefined
    ? { measure: 'wrong_per_request', bound: perRequest ?? DEFAULT_BOUND, confidence }
    : { measure: 'wrong_per_hit', bound: perHit, confidence }
}

/** Throws UsageError where the file cannot be read or is no trace. */
function traceOf(args: ParsedArgs, io: Io, read: (text: string) => ReadTrace): ReadTrace {
  const path = args.positional[1]
  if (path === undefined) throw new UsageError('`heddle cache simulate` needs a file with a trace, or `-`')
  let text: string
  try {
    text = io.read(path === '-' ? path : resolve(io.cwd, path))
  } catch {
    throw new UsageError(`${path} cannot be read`)
  }
  let trace: ReadTrace
  try {
    trace = read(text)
  } catch (error) {
    throw new UsageError(`${path}, ${error instanceof Error ? error.message : 'not a trace'}`)
  }
  if (trace.rows.length === 0) throw new UsageError(`${path} holds no requests`)
  return trace
}

const percent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)} %`
const told = (share: number): string => `${Number((share * 100).toFixed(4))} %`
const ratio = (part: number, whole: number): string => (whole === 0 ? '–' : percent(part / whole, 2))

const HEADS = [
  'policy',
  'hits',
  'exact',
  'semantic',
  'wrong',
  'wrong/request',
  'wrong/semantic',
  'calls',
  'saved',
] as const

function cellsOf({ policy, report }: Row, isPriced: boolean): readonly string[] {
  const { requests, exactHits, semanticHits, wrong, backendCalls, savedUsd } = report
  return [
    policy,
    percent((exactHits + semanticHits) / requests),
    String(exactHits),
    String(semanticHits),
    String(wrong),
    ratio(wrong, requests),
    ratio(wrong, semanticHits),
    String(backendCalls),
    isPriced ? `$${savedUsd.toFixed(savedUsd < 1 ? 4 : 2)}` : '–',
  ]
}

function tableOf(rows: readonly Row[], isPriced: boolean): string {
  const lines = [HEADS, ...rows.map((row) => cellsOf(row, isPriced))]
  const widths = HEADS.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)))
  return lines
    .map((cells) =>
      cells
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function sentencesOf(bound: ErrorBound, { report }: Row, estimate: Estimate): string {
  const said = bound.measure === 'wrong_per_request' ? 'requests get a wrong semantic hit' : 'semantic hits are wrong'
  const lines = [
    `The promise: at most ${told(bound.bound)} of the ${said} (${GRACE} of them from the start), at any time, ${told(bound.confidence)} sure.`,
    report.worstExcess > 0
      ? 'It was NOT kept throughout: a trace where it is not is one of those that the confidence leaves.'
      : 'It was kept throughout.',
  ]
  if (report.semanticHits === 0)
    lines.push(
      `Nothing was served by meaning: ${estimate.labels} comparisons with real answers are too few for this bound. Replay more requests, or allow more.`,
    )
  if (report.exactWrong > 0)
    lines.push(
      `${report.exactWrong} exact hits had another answer in the trace: the backend does not always say the same.`,
    )
  return lines.join('\n')
}

/**
 * `heddle cache simulate`: what a trace of requests would have been with the cache, from an empty one on, beside fixed
 * thresholds on the same vectors. The same file gives the same figures.
 */
export async function simulateCommand(args: ParsedArgs, io: Io): Promise<number> {
  const promise = boundOf(args, io)
  const embedder = loadTable()
  const verifier = loadVerifier(embedder)
  const { rows: requests, isPriced } = traceOf(args, io, (text) => readTraceText(text, embedder, verifier))
  const { measure, bound } = promise
  const own = new CalibratedPolicy(
    loadEvidence(),
    new Calibrator({ bound: promise, random: { next: seededRandom(SEED) } }),
  )
  const allowed = (asked: number, hits: number): number =>
    Math.max(GRACE, bound * (measure === 'wrong_per_request' ? asked : hits))
  const heddle: Row = {
    policy: `heddle, ${told(bound)} of ${measure === 'wrong_per_request' ? 'requests' : 'hits'}`,
    report: await simulate(requests, { embedder, verifier, policy: own }, allowed),
  }
  const rows = [heddle]
  for (const cosine of COSINES)
    rows.push({
      policy: `cosine ${cosine.toFixed(2)}`,
      report: await simulate(requests, { embedder, verifier: null, policy: new FixedThreshold(cosine) }),
    })
  const estimate = own.estimate()
  if (args.flags.has('json')) {
    const plain = {
      bound: promise,
      policies: rows.map(({ policy, report }) => plainOf(policy, report, isPriced)),
      estimate,
    }
    io.out(`${JSON.stringify(plain, null, 2)}\n`)
    return EXIT.ok
  }
  io.out(`${requests.length} requests\n\n${tableOf(rows, isPriced)}\n\n${sentencesOf(promise, heddle, estimate)}\n`)
  return EXIT.ok
}

const plainOf = (policy: string, report: SimulationReport, isPriced: boolean): object => ({
  policy,
  requests: report.requests,
  exact_hits: report.exactHits,
  semantic_hits: report.semanticHits,
  checks: report.checks,
  wrong: report.wrong,
  exact_wrong: report.exactWrong,
  backend_calls: report.backendCalls,
  saved_usd: isPriced ? Number(report.savedUsd.toFixed(9)) : null,
})
