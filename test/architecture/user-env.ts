import { delimiter } from 'node:path'

/**
 * The environment of a user's shell: `npm test` puts the project's own Node first on PATH, and runs inside of vitest, whose
 * variables would change how another vitest behaves.
 */
export const userEnv: Readonly<Record<string, string | undefined>> = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:VITEST|TEST$|NODE_ENV$|CI$|NODE_OPTIONS$|npm_)/.test(name)),
  ),
  PATH: (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .join(delimiter),
}
