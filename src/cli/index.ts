// The command line: names, flags, help, exit codes, and the text at start.
// It starts nothing itself: src/server.ts serves, src/sim simulates, src/pipeline explains; each is loaded on use.
// Contract: docs/reference/cli.md, generated from commands.ts.
export { banner } from './banner.ts'
export type { BannerFacts } from './banner.ts'
export { readVersion, runCli } from './main.ts'
export type { ServeOptions } from './serve.ts'
