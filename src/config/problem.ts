import { GatewayError } from '../core/errors.ts'

/** Where something stands in a configuration: keys and list places from the root. */
export type Path = readonly (string | number)[]

/** One thing wrong with the configuration. Lines and columns count from 1; 0 = no place in a file. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  /** `models."gpt-4.1".targets[0].provider`; empty for the file as a whole. */
  readonly path: string
  /** Never holds a value that came out of `${env:..}` or `${file:..}`. */
  readonly message: string
}

const BARE_KEY = /^[A-Za-z0-9_*/:@-]+$/

/** `a.b[0]."c.d"`: keys that hold dots or blanks are quoted. */
export const formatPath = (path: Path): string => {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else text += (text === '' ? '' : '.') + (BARE_KEY.test(part) ? part : JSON.stringify(part))
  }
  return text
}

/** `file:line:col path: message`, the form that editors and CI logs make clickable. */
export const formatProblem = (problem: Problem): string => {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file
  return problem.path === '' ? `${place}: ${problem.message}` : `${place} ${problem.path}: ${problem.message}`
}

const byPlace = (a: Problem, b: Problem): number => {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1
  return a.line - b.line || a.column - b.column
}

/** More in one message help nobody; `problems` has them all. */
const SHOWN = 50

/** The configuration cannot be used. Holds every problem found, in the order of the file; at least one. */
export class ConfigError extends GatewayError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    const sorted = [...problems].sort(byPlace)
    const count = sorted.length === 1 ? '1 problem' : `${sorted.length} problems`
    const shown = sorted.slice(0, SHOWN).map(formatProblem)
    const rest = sorted.length > SHOWN ? [`and ${sorted.length - SHOWN} more`] : []
    super('config_invalid', `The configuration has ${count}:\n${[...shown, ...rest].join('\n')}`)
    this.name = 'ConfigError'
    this.problems = sorted
  }
}
