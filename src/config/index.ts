// Reads configuration (YAML, a folder of it, or the environment) into the one normalised form, and watches it.
// It does not compile routes, open connections or know any preset: those are handed in or come later.
// Contract: src/contracts/config.ts; the YAML surface is schema.ts, described in docs/reference/config.md.
export { loadConfig, loadConfigText } from './load.ts'
export type { LoadedConfig, LoadOptions, ServerOverrides } from './load.ts'
export { ConfigError, formatProblem } from './problem.ts'
export type { Problem } from './problem.ts'
export { maskedConfig } from './dump.ts'
export { watchConfig } from './watch.ts'
export type { ConfigWatcher, WatchOptions } from './watch.ts'
export { didYouMean, nearest } from './nearest.ts'
export { presetsInEnv } from './providers.ts'
export { SIM_BASE_URL } from './sim-url.ts'
export { configJsonSchema, SCHEMA_ID } from './json-schema.ts'
