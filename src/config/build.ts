import type { SourceMap } from './yaml-source.ts'
import type { Problem } from './problem.ts'
import type { ParsedConfig } from './schema.ts'

/** What the parts of the configuration are built from. Faults are added to `problems` with their places. */
export interface Build {
  readonly parsed: ParsedConfig
  readonly map: SourceMap
  readonly problems: Problem[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Text of a file, by a path relative to the configuration's folder; the file is watched from then on. Throws. */
  readFile(path: string): string
}
