import { resolve } from 'node:path'
import type { Io } from './io.ts'

const DEFAULT_FILES = ['heddle.yaml', 'heddle.yml'] as const

/** The flag, the variable, `heddle.yaml` in the working directory, or null for zero configuration. */
export const findConfig = (given: string | undefined, io: Io): string | null => {
  if (given !== undefined) return given
  return DEFAULT_FILES.find((name) => io.exists(resolve(io.cwd, name))) ?? null
}
