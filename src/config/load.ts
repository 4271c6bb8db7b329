import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import type { HeddleConfig, ProviderConfig, ProviderPreset, ServerConfig } from '../contracts/config.ts'
import { checkDefaults, checkModels, checkPickers, checkServer } from './crosscheck.ts'
import { hashConfig } from './dump.ts'
import { readSecretFile } from './interpolate.ts'
import type { SecretSource } from './interpolate.ts'
import { problemsOf } from './issues.ts'
import { toAuth, toTenants } from './normalise-auth.ts'
import { routeCache, toCache } from './normalise-cache.ts'
import { toLedger, toLimits } from './normalise-limits.ts'
import { toMcp } from './normalise-mcp.ts'
import { toMesh } from './normalise-mesh.ts'
import { toBatches, toResponses } from './normalise-responses.ts'
import { toTracing } from './normalise-tracing.ts'
import { knownPrices, toUsage } from './normalise-usage.ts'
import type { PriceTable } from './normalise-usage.ts'
import { overrideFor } from './price.ts'
import type { Build } from './build.ts'
import { toDefaults, toModel, toServer } from './normalise.ts'
import type { FactsLookup } from './normalise.ts'
import { ConfigError, formatPath } from './problem.ts'
import type { Path, Problem } from './problem.ts'
import { presetsInEnv, presetTable, toProvider } from './providers.ts'
import { configSchema } from './schema.ts'
import type { ParsedConfig } from './schema.ts'
import type { ModelObject } from './schema-model.ts'
import { providerSchema } from './schema-provider.ts'
import { hedgeSchema } from './schema-route.ts'
import { MAX_FILE_BYTES, readYaml, SourceMap } from './yaml-source.ts'
import type { Plain } from './yaml-source.ts'
import type { z } from 'zod'

/** What flags and PORT-like variables say; stronger than the file. */
export interface ServerOverrides {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly adminHost?: string | undefined
  readonly adminPort?: number | undefined
  readonly insecure?: boolean | undefined
  readonly workers?: number | 'auto' | undefined
}

export interface LoadOptions {
  /** Rows of src/providers/presets.ts. Handed in because this folder stands below providers. */
  readonly presets: readonly ProviderPreset[]
  /** Facts from config/models.json; left out = nothing is known about any model. */
  readonly facts?: FactsLookup
  /** Prices from the same file, by provider type; left out = none. */
  readonly prices?: PriceTable
  /** Default: the environment of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Text of a `${file:..}`; default: the file system. */
  readonly readFile?: (path: string) => string
  readonly overrides?: ServerOverrides
}

export interface LoadedConfig {
  readonly config: HeddleConfig
  /** Every file that was read, absolute: configuration and secrets. */
  readonly files: readonly string[]
}

interface SourceFile {
  readonly path: string
  readonly text: string
}

interface Reading {
  /** Relative paths in the configuration begin here. */
  readonly baseDir: string
  readonly value: Record<string, Plain>
  readonly map: SourceMap
  readonly problems: Problem[]
}

const isYaml = (name: string): boolean => /\.ya?ml$/.test(name) && !name.startsWith('.')

const fileProblem = (file: string, message: string): ConfigError =>
  new ConfigError([{ file, line: 0, column: 0, path: '', message }])

const readOne = (path: string): SourceFile => {
  const stat = statSync(path)
  if (!stat.isFile()) throw fileProblem(path, 'is not a regular file')
  if (stat.size > MAX_FILE_BYTES) throw fileProblem(path, 'larger than 4 MiB')
  return { path, text: readFileSync(path, 'utf8') }
}

/** The file, or the `*.yaml` and `*.yml` files of the folder in the order of their names. Throws ConfigError. */
export const readSource = (source: string): readonly SourceFile[] => {
  try {
    if (!statSync(source).isDirectory()) return [readOne(source)]
    const names = readdirSync(source).filter(isYaml).sort()
    if (names.length === 0) throw fileProblem(source, 'holds no *.yaml or *.yml file')
    return names.map((name) => readOne(join(source, name)))
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw fileProblem(source, code === 'ENOENT' ? 'no such file or directory' : `cannot be read (${code})`)
  }
}

const isMap = (value: Plain | undefined): value is { [key: string]: Plain } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Each file gets its own map first, so that a key that stands in two files can be reported with both places. */
const mergeFile = (into: Reading, value: Plain, map: SourceMap, file: string): void => {
  if (value === null) return
  if (!isMap(value)) {
    into.problems.push({ file, line: 1, column: 1, path: '', message: 'must be a map' })
    return
  }
  const clash = (path: Path): void => {
    const first = into.map.problem(path, '', 'key')
    const message = `stands here and at ${first.file}:${first.line}:${first.column}; keep one of them`
    into.problems.push(map.problem(path, message, 'key'))
  }
  for (const [section, part] of Object.entries(value)) {
    const present = into.value[section]
    if (present === undefined) into.value[section] = part
    else if (!isMap(present) || !isMap(part)) clash([section])
    else {
      const merged = { ...present }
      for (const [key, item] of Object.entries(part)) {
        if (Object.hasOwn(present, key)) clash([section, key])
        else merged[key] = item
      }
      into.value[section] = merged
    }
  }
}

const readAll = (files: readonly SourceFile[], name: string, secrets: SecretSource): Reading => {
  const baseDir = files[0] === undefined ? '.' : dirname(files[0].path)
  const reading: Reading = { baseDir, value: {}, map: new SourceMap(name), problems: [] }
  for (const { path, text } of files) {
    const map = new SourceMap(path)
    const { value, problems } = readYaml(text, path, dirname(path), map, secrets)
    reading.problems.push(...problems)
    mergeFile(reading, value, map, path)
    reading.map.absorb(map)
  }
  return reading
}

const OVERRIDE_KEYS = {
  host: 'host',
  port: 'port',
  adminHost: 'admin_host',
  adminPort: 'admin_port',
  insecure: 'insecure',
  workers: 'workers',
} as const satisfies Record<keyof ServerOverrides, keyof ParsedConfig['server']>

const COMMAND_LINE = { file: 'command line', line: 0, column: 0 }

const applyOverrides = ({ value, map }: Reading, overrides: ServerOverrides): void => {
  const given = Object.entries(overrides).filter(([, item]) => item !== undefined)
  if (given.length === 0 || !(value['server'] === undefined || value['server'] === null || isMap(value['server']))) {
    return
  }
  const server = { ...value['server'] }
  for (const [name, item] of given) {
    const key = OVERRIDE_KEYS[name as keyof ServerOverrides]
    server[key] = item as Plain
    // A fault of the flag must not be blamed on the line of the file that it replaces.
    map.set(['server', key], { key: COMMAND_LINE, value: COMMAND_LINE })
  }
  value['server'] = server
}

const typed = (text: string): Plain => {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text
}

const replaceAt = (root: Plain, path: Path): void => {
  let parent: Plain | undefined = root
  for (const key of path.slice(0, -1)) {
    parent = Array.isArray(parent) ? parent[Number(key)] : isMap(parent) ? parent[key] : undefined
  }
  const last = path.at(-1)
  if (last === undefined || typeof parent !== 'object' || parent === null) return
  const holder = parent as Record<string | number, Plain>
  const value = holder[last]
  if (typeof value === 'string') holder[last] = typed(value)
}

/**
 * `port: ${env:PORT}` gives text where a number is wanted. Such a value is typed as YAML would type it, but
 * only where the schema refused the text: an API key of digits stays a string.
 */
const parse = (reading: Reading): ParsedConfig | undefined => {
  const { value, map, problems } = reading
  const first = configSchema.safeParse(value)
  if (first.success) return first.data
  const faults = problemsOf(first.error.issues, value, map)
  const faulty = new Set(faults.map((problem) => problem.path))
  const candidates = map.retypable().filter((path) => faulty.has(formatPath(path)))
  for (const path of candidates) replaceAt(value, path)
  const second = candidates.length === 0 ? first : configSchema.safeParse(value)
  if (second.success) return second.data
  const left = problemsOf(second.error.issues, value, map)
  // A place whose `${...}` could not be resolved has been reported already.
  const reported = new Set(problems.map((problem) => problem.path))
  problems.push(...left.filter((problem) => !reported.has(problem.path) || problem.path === ''))
  const rest = configSchema.safeParse(withoutFaulty(value, second.error.issues))
  return rest.success ? rest.data : undefined
}

/** The entries the schema had nothing against, so that names and clashes among them are checked in the same run. */
const withoutFaulty = (value: Record<string, Plain>, issues: readonly z.core.$ZodIssue[]): Record<string, Plain> => {
  const rest: Record<string, Plain> = { ...value }
  for (const { path, ...issue } of issues) {
    const [section, key] = path.map(String)
    const part = section === undefined ? undefined : rest[section]
    if (section === undefined) {
      for (const name of issue.code === 'unrecognized_keys' ? issue.keys : []) delete rest[name]
    } else if (key === undefined || !isMap(part)) delete rest[section]
    else rest[section] = Object.fromEntries(Object.entries(part).filter(([name]) => name !== key))
  }
  return rest
}

const keysOf = (part: Plain | undefined): readonly string[] => (isMap(part) ? Object.keys(part) : [])

interface BuildParts {
  readonly parsed: ParsedConfig
  readonly reading: Reading
  readonly options: LoadOptions
  readonly env: Readonly<Record<string, string | undefined>>
  readonly zeroConfig: boolean
}

const buildProviders = (build: BuildParts): readonly ProviderConfig[] => {
  const { parsed, reading, options, env, zeroConfig } = build
  const fromEnv = () => Object.fromEntries(presetsInEnv(options.presets, env).map((name) => [name, null]))
  const entries = Object.entries(parsed.providers ?? fromEnv())
  if (zeroConfig) entries.push(['sim', null])
  const context = { env, presets: presetTable(options.presets), map: reading.map, problems: reading.problems }
  const empty = providerSchema.parse({})
  return entries.flatMap(([name, entry]) => toProvider(name, entry ?? empty, context) ?? [])
}

const freeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) freeze(item)
  }
  return value
}

const build = (reading: Reading, options: LoadOptions, zeroConfig: boolean): HeddleConfig | undefined => {
  const parsed = parse(reading)
  if (parsed === undefined) return undefined
  const { map, problems } = reading
  const env = options.env ?? process.env
  const readFile = (path: string): string => {
    const full = isAbsolute(path) ? path : resolve(reading.baseDir, path)
    map.secretFiles.add(full)
    return (options.readFile ?? readSecretFile)(full)
  }
  const parts: Build = { parsed, map, problems, env, readFile }
  const auth = toAuth(parts)
  const providers = buildProviders({ parsed, reading, options, env, zeroConfig })
  const usage = toUsage(parts, knownPrices(providers, options.prices))
  const context = {
    cacheOf: (own: ModelObject['cache'], path: Path) => routeCache(own, path, parts),
    defaults: parsed.defaults,
    hedgeDefaults: hedgeSchema.parse({}),
    providers: new Map(providers.map((provider) => [provider.name, provider])),
    facts: options.facts ?? (() => undefined),
    prices: (provider: string, model: string) => overrideFor(usage.overrides, `${provider}/${model}`),
  }
  const models = Object.entries(parsed.models ?? {}).map(([name, entry]) => toModel(name, entry, context))
  const server: ServerConfig = toServer(parsed.server)
  const defaults = toDefaults(parsed.defaults, routeCache(undefined, ['cache'], parts))
  problems.push(...checkServer(server, auth !== null, map), ...checkDefaults(defaults, map))
  const declared = { providers: keysOf(reading.value['providers']), models: keysOf(reading.value['models']) }
  problems.push(...checkPickers(server, providers, declared.providers, map))
  problems.push(...checkModels(models, providers, declared, presetTable(options.presets), map))
  const config = {
    server,
    defaults,
    providers,
    models: models.map((model) => model.config),
    auth,
    tenants: toTenants(parts),
    limits: toLimits(parts),
    ledger: toLedger(parts),
    usage,
    mesh: toMesh(parts),
    mcp: toMcp(parts),
    tracing: toTracing(parts),
    responses: toResponses(parts),
    batches: toBatches(parts),
    cache: toCache(parts, [defaults, ...models.map((model) => model.config)]),
    zeroConfig,
  }
  return freeze({ ...config, hash: hashConfig(config) })
}

const finish = (reading: Reading, options: LoadOptions, zeroConfig: boolean): HeddleConfig => {
  applyOverrides(reading, options.overrides ?? {})
  const config = build(reading, options, zeroConfig)
  if (config === undefined || reading.problems.length > 0) throw new ConfigError(reading.problems)
  return config
}

/**
 * Loads a file, a folder of `*.yaml`/`*.yml` files, or with null what the environment offers (zero configuration).
 * Throws ConfigError (code `config_invalid`) with every problem found; nothing else. Reads synchronously: it runs at
 * start and on reload, on small files.
 */
export const loadConfig = (source: string | null, options: LoadOptions): LoadedConfig => {
  const secrets: SecretSource = { env: options.env ?? process.env, readFile: options.readFile ?? readSecretFile }
  const files = source === null ? [] : readSource(source)
  const reading = readAll(files, source ?? 'environment', secrets)
  const config = finish(reading, options, source === null)
  return { config, files: [...files.map((file) => file.path), ...reading.map.secretFiles].map((path) => resolve(path)) }
}

/** Like `loadConfig`, for one text that is already in memory; `file` is its name in messages. */
export const loadConfigText = (text: string, options: LoadOptions & { readonly file?: string }): LoadedConfig => {
  const secrets: SecretSource = { env: options.env ?? process.env, readFile: options.readFile ?? readSecretFile }
  const file = options.file ?? 'heddle.yaml'
  const reading = readAll([{ path: file, text }], file, secrets)
  const config = finish(reading, options, false)
  return { config, files: [...reading.map.secretFiles] }
}
