/** What a command is, and how its arguments become values. One style for all of them, so that help can be generated. */
import { didYouMean } from '../config/nearest.ts'

/** 0 = ok, 1 = failed, 2 = wrong usage, 3 = invalid configuration. */
export const EXIT = { ok: 0, failure: 1, usage: 2, config: 3 } as const

export interface FlagSpec {
  /** Without the dashes; also the key of the parsed value. */
  readonly name: string
  readonly short?: string
  /** Shown in help, such as `PORT`; absent = a switch. */
  readonly value?: string
  readonly help: string
  /** A value for the flag out of this variable when it is not given. Switches take `1` or `true`. */
  readonly env?: string
}

export interface CommandSpec {
  readonly name: string
  /** Positional arguments as help shows them, such as `[FILE|DIR]`. */
  readonly args: string
  /** Most positional arguments. */
  readonly maxArgs: number
  readonly summary: string
  /** One paragraph below the summary. */
  readonly details: string
  readonly flags: readonly FlagSpec[]
  readonly examples: readonly { readonly command: string; readonly help: string }[]
}

export interface ParsedArgs {
  readonly positional: readonly string[]
  /** Flag name to text; `true` for switches. */
  readonly flags: ReadonlyMap<string, string | true>
}

/** The arguments do not fit; the message is for the user. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

const HELP: FlagSpec = { name: 'help', short: 'h', help: 'Show this help.' }

export const allFlags = (spec: CommandSpec): readonly FlagSpec[] => [...spec.flags, HELP]

const findFlag = (spec: CommandSpec, text: string): FlagSpec => {
  const flags = allFlags(spec)
  const flag = flags.find(({ name, short }) => text === `--${name}` || (short !== undefined && text === `-${short}`))
  if (flag !== undefined) return flag
  const hint = didYouMean(
    text,
    flags.map(({ name }) => `--${name}`),
  )
  throw new UsageError(`unknown flag \`${text}\`${hint}`)
}

/**
 * Flags may stand anywhere, as `--flag value` or `--flag=value`; `--` ends them. Throws UsageError for unknown flags,
 * missing values, values given to switches, and too many arguments.
 */
export const parseArgs = (spec: CommandSpec, argv: readonly string[]): ParsedArgs => {
  const positional: string[] = []
  const flags = new Map<string, string | true>()
  for (let i = 0; i < argv.length; i++) {
    const text = argv[i] ?? ''
    if (text === '--') {
      positional.push(...argv.slice(i + 1))
      break
    }
    if (!text.startsWith('-') || text === '-') {
      positional.push(text)
      continue
    }
    const equals = text.indexOf('=')
    const flag = findFlag(spec, equals < 0 ? text : text.slice(0, equals))
    // The last one would win in silence, and a limit or condition would be gone.
    if (flags.has(flag.name) && flag.value !== undefined) throw new UsageError(`\`--${flag.name}\` stands twice`)
    const inline = equals < 0 ? undefined : text.slice(equals + 1)
    if (flag.value === undefined) {
      if (inline !== undefined) throw new UsageError(`\`--${flag.name}\` takes no value`)
      flags.set(flag.name, true)
      continue
    }
    const value = inline ?? argv[++i]
    if (value === undefined || value === '') throw new UsageError(`\`--${flag.name}\` needs a value: ${flag.value}`)
    flags.set(flag.name, value)
  }
  if (positional.length > spec.maxArgs && !flags.has('help')) {
    throw new UsageError(`unexpected argument \`${positional[spec.maxArgs] ?? ''}\``)
  }
  return { positional, flags }
}

export type Env = Readonly<Record<string, string | undefined>>

/** Flag, else its variable, else undefined. An empty variable counts as not set. */
export const textFlag = (spec: CommandSpec, args: ParsedArgs, name: string, env: Env): string | undefined => {
  const given = args.flags.get(name)
  if (typeof given === 'string') return given
  const variable = spec.flags.find((flag) => flag.name === name)?.env
  const value = variable === undefined ? undefined : env[variable]?.trim()
  return value === '' ? undefined : value
}

/** A whole number from `min` to `max`; throws UsageError that names the flag or the variable at fault. */
export const numberFlag = (
  spec: CommandSpec,
  args: ParsedArgs,
  name: string,
  env: Env,
  range: { readonly min: number; readonly max: number },
): number | undefined => {
  const text = textFlag(spec, args, name, env)
  if (text === undefined) return undefined
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= range.min && value <= range.max) return value
  const variable = spec.flags.find((flag) => flag.name === name)?.env
  const source = args.flags.has(name) || variable === undefined ? `\`--${name}\`` : `environment variable ${variable}`
  throw new UsageError(`${source} must be a number from ${range.min} to ${range.max}, not \`${text}\``)
}

/** True, or undefined when neither the flag nor its variable says so. */
export const switchFlag = (spec: CommandSpec, args: ParsedArgs, name: string, env: Env): true | undefined => {
  if (args.flags.has(name)) return true
  const variable = spec.flags.find((flag) => flag.name === name)?.env
  const value = variable === undefined ? undefined : env[variable]?.toLowerCase()
  return value === '1' || value === 'true' ? true : undefined
}
