import { existsSync, readFileSync } from 'node:fs'
import { didYouMean } from '../config/nearest.ts'
import { ConfigError } from '../config/problem.ts'
import { EXIT, parseArgs, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { CommandName } from './commands.ts'
import type { Explain } from './explain.ts'
import { commandHelp, mainHelp } from './help.ts'
import type { Io } from './io.ts'
import { printProblems } from './problems.ts'
import { serveCommand } from './serve.ts'
import type { ServeOptions } from './serve.ts'

/** Loaded on use: `heddle check` must not pay for the server, nor fail with it. */
export interface Modules {
  readonly serve: (options: ServeOptions) => Promise<unknown>
  readonly explain: Explain
  /** Its exit code, or nothing for 0. */
  readonly sim: (argv: readonly string[]) => Promise<number | undefined>
}

const processIo: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  env: process.env,
  cwd: process.cwd(),
  exists: existsSync,
  read: (path) => readFileSync(path === '-' ? 0 : path, 'utf8'),
}

const lazyModules: Modules = {
  serve: async (options) => {
    const { loadFor } = await import('../server/load-config.ts')
    const loading = loadFor(options)
    // Answered by serve(); until then a bad configuration must not count as unhandled.
    loading.catch(() => {})
    // Another process reads the configuration while this one loads what serves.
    const { serve } = await import('../server.ts')
    return serve(options, { loading })
  },
  explain: async (config, input) => {
    const { explainRequest } = await import('../pipeline/explain.ts')
    return explainRequest(config, input)
  },
  sim: async (argv) => {
    const { simCommand } = await import('../sim/cli.ts')
    await simCommand([...argv])
    return undefined
  },
}

/** The version in package.json, which lies two folders up from `src` and `dist` alike. */
export const readVersion = (): string => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

const versionCommand = (args: ParsedArgs, io: Io): number => {
  const version = readVersion()
  const facts = { version, node: process.version, platform: `${process.platform}-${process.arch}` }
  io.out(args.flags.has('json') ? `${JSON.stringify(facts)}\n` : `heddle ${version}\n`)
  return EXIT.ok
}

const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name)

const helpCommand = (args: ParsedArgs, io: Io): number => {
  const name = args.positional[0]
  if (name === undefined) io.out(mainHelp())
  else if (isCommand(name)) io.out(commandHelp(COMMANDS[name]))
  else throw new UsageError(unknownCommand(name))
  return EXIT.ok
}

const unknownCommand = (name: string): string => `unknown command \`${name}\`${didYouMean(name, Object.keys(COMMANDS))}`

type Run = (args: ParsedArgs, io: Io, modules: Modules) => number | Promise<number>

const RUN: Readonly<Record<Exclude<CommandName, 'sim'>, Run>> = {
  serve: (args, io, modules) => serveCommand(args, io, modules.serve),
  // What reads configurations is loaded on use: serving does it in a thread of its own, and keeps nothing of it.
  check: async (args, io) => (await import('./check.ts')).checkCommand(args, io),
  schema: async (_args, io) => {
    const { configJsonSchema } = await import('../config/index.ts')
    io.out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
    return EXIT.ok
  },
  explain: async (args, io, modules) => (await import('./explain.ts')).explainCommand(args, io, modules.explain),
  key: async (args, io) => (await import('./key.ts')).keyCommand(args, io),
  usage: async (args, io) => (await import('./usage.ts')).usageCommand(args, io),
  cache: async (args, io) => (await import('./cache.ts')).cacheCommand(args, io),
  mesh: async (args, io) => (await import('./mesh.ts')).meshCommand(args, io),
  record: async (args, io) => (await import('./record.ts')).recordCommand(args, io),
  version: versionCommand,
  help: helpCommand,
}

const runCommand = async (name: CommandName, argv: readonly string[], io: Io, modules: Modules): Promise<number> => {
  // The simulator parses its own flags, `--help` included.
  if (name === 'sim') return (await modules.sim(argv)) ?? EXIT.ok
  const spec = COMMANDS[name]
  const args = parseArgs(spec, argv)
  if (args.flags.has('help')) {
    io.out(commandHelp(spec))
    return EXIT.ok
  }
  return RUN[name](args, io, modules)
}

const fail = (error: unknown, command: string | undefined, io: Io): number => {
  if (error instanceof UsageError) {
    io.err(`heddle: ${error.message}\nSee \`heddle ${command === undefined ? '' : `${command} `}--help\`.\n`)
    return EXIT.usage
  }
  if (error instanceof ConfigError) {
    printProblems(error, io)
    return EXIT.config
  }
  // Faults of ours carry the stack; what the system refused (a port in use) is told in one line.
  const system = error instanceof Error && 'code' in error && 'syscall' in error
  const text = error instanceof Error ? (system ? error.message : (error.stack ?? error.message)) : String(error)
  io.err(`heddle: ${text}\n`)
  return EXIT.failure
}

/** Runs a command line without touching the process: its exit code is the result. Never throws. */
export const execute = async (argv: readonly string[], io: Io, modules: Modules): Promise<number> => {
  const [first] = argv
  let command: CommandName | undefined
  try {
    if (first === '--help' || first === '-h') return helpCommand({ positional: [], flags: new Map() }, io)
    if (first === '--version' || first === '-V') return versionCommand({ positional: [], flags: new Map() }, io)
    const isDefault = first === undefined || first.startsWith('-')
    const name = isDefault ? 'serve' : first
    if (!isCommand(name)) throw new UsageError(unknownCommand(name))
    command = name
    return await runCommand(name, isDefault ? argv : argv.slice(1), io, modules)
  } catch (error) {
    return fail(error, command, io)
  }
}

/** Whoever reads the output may have read enough (`| head`): what is left of it is for nobody. */
const ifClosed = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EPIPE') throw error
}

/** The program: `argv` without node and script. Sets the exit code of the process; it ends when nothing keeps it. */
export const runCli = async (argv: readonly string[]): Promise<void> => {
  process.stdout.on('error', ifClosed)
  const code = await execute(argv, processIo, lazyModules)
  if (code !== EXIT.ok) process.exitCode = code
}
