import type { ConfigError } from '../config/problem.ts'
import { formatProblem } from '../config/problem.ts'
import type { Io } from './io.ts'

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`

/** Every problem on a line of its own, then how many there are. */
export const printProblems = (error: ConfigError, io: Io): void => {
  for (const problem of error.problems) io.err(`${formatProblem(problem)}\n`)
  io.err(`${plural(error.problems.length, 'problem')} in the configuration\n`)
}
