import { EXIT, numberFlag, switchFlag, textFlag, UsageError } from './command.ts'
import type { Env, ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import { findConfig } from './find-config.ts'
import type { Io } from './io.ts'

/**
 * What `serve` of src/server.ts is given: flags, else environment variables. What is absent the file decides. All but
 * `config` are overrides as the loader takes them.
 */
export interface ServeOptions {
  /** File or folder; absent = zero configuration. */
  readonly config?: string
  readonly host?: string
  readonly port?: number
  readonly adminPort?: number
  readonly insecure?: boolean
  readonly workers?: number | 'auto'
}

const PORTS = { min: 0, max: 65_535 }

const workersOf = (args: ParsedArgs, env: Env): number | 'auto' | undefined => {
  if (textFlag(COMMANDS.serve, args, 'workers', env) === 'auto') return 'auto'
  return numberFlag(COMMANDS.serve, args, 'workers', env, { min: 1, max: 1024 })
}

/** Options out of flags and environment; throws UsageError. */
export const serveOptions = (args: ParsedArgs, io: Io): ServeOptions => {
  const spec = COMMANDS.serve
  const all = {
    config: findConfig(textFlag(spec, args, 'config', io.env), io) ?? undefined,
    host: textFlag(spec, args, 'host', io.env),
    port: numberFlag(spec, args, 'port', io.env, PORTS),
    adminPort: numberFlag(spec, args, 'admin-port', io.env, PORTS),
    insecure: switchFlag(spec, args, 'insecure', io.env),
    workers: workersOf(args, io.env),
  }
  if (all.port !== undefined && all.port !== 0 && all.port === all.adminPort) {
    throw new UsageError('`--port` and `--admin-port` must differ')
  }
  const given = Object.entries(all).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given)
}

/** `heddle serve`. Settles when src/server.ts says so; the process then stays alive as long as it listens. */
export const serveCommand = async (
  args: ParsedArgs,
  io: Io,
  serve: (options: ServeOptions) => Promise<unknown>,
): Promise<number> => {
  await serve(serveOptions(args, io))
  return EXIT.ok
}
