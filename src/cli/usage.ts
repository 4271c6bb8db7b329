import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { createGunzip } from 'node:zlib'
import { parseDuration } from '../config/units.ts'
import type { Group } from '../usage/report.ts'
import { DIMENSIONS, isDimension, printUsd, Report } from '../usage/report.ts'
import { EXIT, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { Io } from './io.ts'
import { plural } from './problems.ts'

/** A record is a few hundred bytes; what is longer is none, and must not fill the memory. */
const MAX_LINE = 1 << 20

const FORMATS = ['table', 'csv', 'json'] as const
type Format = (typeof FORMATS)[number]

const list = (text: string | undefined): readonly string[] =>
  (text ?? '').split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]))

const dimension = (name: string): string => {
  if (isDimension(name)) return name
  throw new UsageError(`\`${name}\` is nothing to group or choose by; there are ${DIMENSIONS.join(', ')}`)
}

/** `7d` = that long ago; else a date or a time (ISO 8601; without a zone it is UTC). */
const timeOf = (text: string, flag: string, now: number): number => {
  const ago = parseDuration(text)
  if (ago !== undefined) return now - ago
  const zoned = /T.*(?:Z|[+-]\d{2}:?\d{2})$/.test(text) || !text.includes('T') ? text : `${text}Z`
  const time = /^\d{4}-\d{2}(?:-\d{2})?(?:T|$)/.test(text) ? Date.parse(zoned) : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new UsageError(
    `\`--${flag}\` must be a duration such as \`7d\`, or a date such as \`2026-11-01\`, not \`${text}\``,
  )
}

const condition = (text: string): readonly [string, string] => {
  const equals = text.indexOf('=')
  if (equals <= 0) throw new UsageError(`\`--where\` must be like \`tenant=acme\`, not \`${text}\``)
  return [dimension(text.slice(0, equals)), text.slice(equals + 1)]
}

/** Lines of a file, `-` = standard input, unpacked when its name ends with `.gz`. A last line without its end counts. */
async function* linesOf(path: string, report: Report): AsyncGenerator<string> {
  const raw = path === '-' ? process.stdin : createReadStream(path)
  const source = path.endsWith('.gz') ? raw.pipe(createGunzip()) : raw
  // pipe() hands no error on.
  if (source !== raw) raw.on('error', (error) => source.destroy(error))
  const decoder = new TextDecoder()
  let rest = ''
  let overlong = false
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    if (overlong && lines.length > 1) {
      lines.shift()
      overlong = false
    }
    rest = lines.pop() ?? ''
    yield* lines
    if (overlong || rest.length > MAX_LINE) {
      if (!overlong) report.skipped++
      overlong = true
      rest = ''
    }
  }
  yield rest
}

const HEADS = [
  'requests',
  'errors',
  'input_tokens',
  'output_tokens',
  'cached_tokens',
  'cost_usd',
  'estimated',
  'unpriced',
]

const cells = (group: Group): readonly string[] => [
  String(group.requests),
  String(group.errors),
  String(group.inputTokens),
  String(group.outputTokens),
  String(group.cachedTokens),
  printUsd(group.nanoUsd),
  String(group.estimated),
  String(group.unpriced),
]

const table = (report: Report, by: readonly string[]): string => {
  const keys = (group: Group): readonly string[] => group.key.map((part) => (part === '' ? '-' : part))
  const total = by.map((_, i) => (i === 0 ? 'total' : ''))
  const rows = [
    [...by, ...HEADS],
    ...report.groups().map((group) => [...keys(group), ...cells(group)]),
    [...total, ...cells(report.total)],
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i < by.length ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd()
  return `${rows.map(line).join('\n')}\n`
}

/** RFC 4180. A leading `=`, `+`, `-` or `@` would be a formula in a spreadsheet: names come from callers. */
const csvCell = (text: string): string => {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

const csv = (report: Report, by: readonly string[]): string =>
  [[...by, ...HEADS], ...report.groups().map((group) => [...group.key, ...cells(group)])]
    .map((row) => `${row.map(csvCell).join(',')}\r\n`)
    .join('')

const plain = (group: Group, by: readonly string[]): Record<string, unknown> => ({
  ...Object.fromEntries(by.map((name, i) => [name, group.key[i]])),
  requests: group.requests,
  errors: group.errors,
  input_tokens: group.inputTokens,
  output_tokens: group.outputTokens,
  cached_tokens: group.cachedTokens,
  // Text: a reader that takes it for a double would lose the last digits.
  cost_usd: printUsd(group.nanoUsd),
  estimated: group.estimated,
  unpriced: group.unpriced,
})

const json = (report: Report, by: readonly string[]): string => {
  const groups = report.groups().map((group) => plain(group, by))
  return `${JSON.stringify({ groups, total: plain(report.total, []), skipped_lines: report.skipped }, null, 2)}\n`
}

/** `heddle usage`: what was used and what it cost, out of files of usage records. */
export const usageCommand = async (args: ParsedArgs, io: Io, now: () => number = Date.now): Promise<number> => {
  const spec = COMMANDS.usage
  const flag = (name: string): string | undefined => textFlag(spec, args, name, io.env)
  const format = (flag('format') ?? 'table') as Format
  if (!FORMATS.includes(format)) throw new UsageError(`\`--format\` must be one of ${FORMATS.join(', ')}`)
  if (args.positional.length === 0)
    throw new UsageError('name the files with the records, such as usage.jsonl; `-` = standard input')
  const [since, until] = [flag('since'), flag('until')]
  const by = list(flag('by') ?? 'model').map(dimension)
  const report = new Report({
    by,
    since: since === undefined ? -Infinity : timeOf(since, 'since', now()),
    until: until === undefined ? Infinity : timeOf(until, 'until', now()),
    where: list(flag('where')).map(condition),
  })
  for (const path of args.positional)
    for await (const line of linesOf(path === '-' ? path : resolve(io.cwd, path), report)) report.addLine(line)
  io.out({ table, csv, json }[format](report, by))
  if (report.skipped > 0) io.err(`heddle: ${plural(report.skipped, 'line')} left out: not a usage record\n`)
  return EXIT.ok
}
