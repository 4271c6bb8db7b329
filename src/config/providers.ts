import type { ProviderConfig, ProviderPreset } from '../contracts/config.ts'
import type { Dialect } from '../contracts/dialect.ts'
import { didYouMean } from './nearest.ts'
import { toCapabilities } from './normalise.ts'
import { toBalancing } from './normalise-balancing.ts'
import { toCapacity } from './normalise-capacity.ts'
import { toCredentials, toData } from './normalise-credentials.ts'
import { toDiscovery } from './normalise-discovery.ts'
import { toClass, toEgress } from './normalise-egress.ts'
import { toServed } from './normalise-served.ts'
import { SERVED } from './served-types.ts'
import type { Path, Problem } from './problem.ts'
import { SIM_BASE_URL } from './sim-url.ts'
import type { ParsedConfig } from './schema.ts'
import { API_KEY_PATTERN } from './schema-provider.ts'
import { transportOf } from './transport.ts'
import type { SourceMap } from './yaml-source.ts'

type Env = Readonly<Record<string, string | undefined>>
export type ProviderEntry = NonNullable<NonNullable<ParsedConfig['providers']>[string]>
type Entry = ProviderEntry

const BUILT_IN: readonly ProviderPreset[] = [
  {
    name: 'openai_compatible',
    title: 'Any server with the OpenAI API',
    keyEnv: [],
    keyRequired: false,
    urlEnv: null,
    basePath: '/v1',
    baseUrl: null,
    auth: 'bearer',
    query: {},
    operations: ['chat', 'completions', 'embeddings', 'passthrough'],
    modelPatterns: [],
    streamUsage: true,
    streamEnd: 'done',
    notes: 'Needs `base_url`.',
  },
  {
    name: 'sim',
    title: 'Simulated models, built in',
    keyEnv: [],
    keyRequired: false,
    urlEnv: null,
    basePath: '/v1',
    baseUrl: SIM_BASE_URL,
    auth: 'none',
    query: {},
    operations: ['chat', 'completions', 'embeddings', 'responses', 'passthrough'],
    modelPatterns: ['sim', 'sim-*'],
    streamUsage: true,
    streamEnd: 'done',
    notes: 'Answers without a network or a key.',
  },
]

/** The presets and the types that are always there, by name. */
export const presetTable = (presets: readonly ProviderPreset[]): ReadonlyMap<string, ProviderPreset> =>
  new Map([...presets, ...BUILT_IN, ...SERVED].map((preset) => [preset.name, preset]))

/**
 * A base URL out of an environment variable. `OLLAMA_HOST` is a listen address as often as a URL
 * (`0.0.0.0`, `host:11434`, `:11434`), so scheme, port and path may be missing.
 */
export const urlFromEnv = (text: string, preset: Pick<ProviderPreset, 'baseUrl' | 'basePath'>): string | undefined => {
  const withHost = text.startsWith(':') ? `127.0.0.1${text}` : text
  const full = /^https?:\/\//.test(withHost) ? withHost : `http://${withHost}`
  if (!URL.canParse(full)) return undefined
  const url = new URL(full)
  if (url.username !== '' || url.password !== '' || url.search !== '') return undefined
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = '127.0.0.1'
  if (url.port === '' && full !== withHost && preset.baseUrl !== null) url.port = new URL(preset.baseUrl).port
  if (url.pathname === '/') url.pathname = preset.basePath
  return trimSlash(url.href)
}

const trimSlash = (url: string): string => url.replace(/\/+$/, '')

const firstSet = (names: readonly string[], env: Env): string | undefined => {
  for (const name of names) {
    const value = env[name]
    if (value !== undefined && value.trim() !== '') return value.trim()
  }
  return undefined
}

export interface ProviderContext {
  readonly env: Env
  readonly presets: ReadonlyMap<string, ProviderPreset>
  readonly map: SourceMap
  readonly problems: Problem[]
}

const findPreset = (name: string, entry: Entry, path: Path, context: ProviderContext): ProviderPreset | undefined => {
  const type = entry.type ?? name
  const preset = context.presets.get(type)
  if (preset !== undefined) return preset
  const { map, problems, presets } = context
  const shown = entry.type === undefined ? `\`${name}\`` : map.show([...path, 'type'], entry.type)
  const hint = didYouMean(map.get([...path, 'type'])?.raw === undefined ? type : '', presets.keys())
  const message =
    entry.type === undefined
      ? `no preset is named ${shown}${hint}; for another server set \`type: openai_compatible\` and \`base_url\``
      : `${shown} is not a known provider type${hint}`
  problems.push(
    map.problem(
      entry.type === undefined ? path : [...path, 'type'],
      message,
      entry.type === undefined ? 'key' : 'value',
    ),
  )
  return undefined
}

const findBaseUrl = (entry: Entry, preset: ProviderPreset, path: Path, context: ProviderContext): string => {
  if (entry.base_url !== undefined) return trimSlash(entry.base_url)
  const { map, problems, env } = context
  const text = preset.urlEnv === null ? undefined : firstSet([preset.urlEnv], env)
  if (text !== undefined) {
    const url = urlFromEnv(text, preset)
    if (url !== undefined) return url
    problems.push(map.problem(path, `environment variable ${preset.urlEnv} does not hold a URL`, 'key'))
    return ''
  }
  if (preset.baseUrl !== null) return preset.baseUrl
  const orEnv = preset.urlEnv === null ? '' : ` (or set ${preset.urlEnv})`
  problems.push(map.problem(path, `type \`${preset.name}\` needs \`base_url\`${orEnv}`, 'key'))
  return ''
}

const findKey = (entry: Entry, preset: ProviderPreset, path: Path, context: ProviderContext): string | null => {
  if (entry.api_key !== undefined) return entry.api_key
  // Whoever sets credentials means those, not a key that happens to be in the environment.
  if (entry.credentials !== undefined) return null
  if ((entry.auth ?? preset.auth) === 'none') return null
  const found = firstSet(preset.keyEnv, context.env)
  if (found !== undefined) {
    if (API_KEY_PATTERN.test(found)) return found
    const names = preset.keyEnv.join(' or ')
    context.problems.push(context.map.problem(path, `environment variable ${names} does not hold a key`, 'key'))
    return null
  }
  const ownHeader = Object.keys(entry.headers ?? {}).some((name) =>
    /^(authorization|api-key|x-api-key|x-goog-api-key)$/i.test(name),
  )
  // A compatible server at another address than the preset's may well need no key.
  if (preset.keyRequired && entry.base_url === undefined && !ownHeader) {
    const names = preset.keyEnv.join(' or ')
    const { map, problems } = context
    problems.push(map.problem(path, `no key: set environment variable ${names}, or \`api_key\``, 'key'))
  }
  return null
}

const lowerCaseHeaders = (entry: Entry, path: Path, context: ProviderContext): Record<string, string> => {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(entry.headers ?? {})) {
    const lower = name.toLowerCase()
    if (Object.hasOwn(headers, lower)) {
      const { map, problems } = context
      problems.push(
        map.problem([...path, 'headers', name], 'this header stands here twice (case does not count)', 'key'),
      )
    }
    headers[lower] = value
  }
  return headers
}

const checkCa = (entry: Entry, path: Path, context: ProviderContext): void => {
  const ca = entry.tls.ca
  if (ca === undefined || ca.includes('-----BEGIN CERTIFICATE-----')) return
  const { map, problems } = context
  problems.push(map.problem([...path, 'tls', 'ca'], 'must be PEM text; `${file:/path/ca.pem}` reads it from a file'))
}

/** What other dialects are translated to: the richest that it speaks, unless somebody says otherwise. */
const toWire = (entry: Entry, preset: ProviderPreset): Dialect | null => {
  if (entry.wire !== undefined) return entry.wire === 'none' ? null : entry.wire
  const operations = entry.operations ?? preset.operations
  if (preset.wire !== undefined) return preset.wire
  if (operations.includes('chat')) return 'openai.chat'
  return operations.includes('responses') ? 'openai.responses' : null
}

/** One entry under `providers` in its long form; undefined, with a problem noted, when its type is unknown. path: where it stands. */
export const toProvider = (
  name: string,
  entry: Entry,
  context: ProviderContext,
  path: Path = ['providers', name],
): ProviderConfig | undefined => {
  if (name.includes('/')) {
    context.problems.push(context.map.problem(path, 'a provider’s name cannot hold `/`', 'key'))
  }
  const preset = findPreset(name, entry, path, context)
  if (preset === undefined) return undefined
  checkCa(entry, path, context)
  const { transport, url: baseUrl } = transportOf(findBaseUrl(entry, preset, path, context))
  const wire = toWire(entry, preset)
  const apiKey = findKey(entry, preset, path, context)
  return {
    name,
    type: preset.name,
    baseUrl,
    auth: entry.auth ?? preset.auth,
    apiKey,
    headers: lowerCaseHeaders(entry, path, context),
    query: { ...preset.query, ...entry.query },
    operations: [...new Set(entry.operations ?? preset.operations)],
    wire,
    ...toServed(entry, { wire, transport, type: preset.name }, path, context),
    paths: preset.paths ?? {},
    modelPatterns: [...new Set(entry.model_patterns ?? preset.modelPatterns)],
    streamUsage: entry.stream_usage ?? preset.streamUsage,
    streamEnd: entry.stream_end ?? preset.streamEnd,
    maxConnections: entry.max_connections,
    tls: {
      ca: entry.tls.ca ?? null,
      serverName: entry.tls.server_name ?? null,
      rejectUnauthorized: entry.tls.verify,
      svid: entry.tls.svid,
      peers: [...new Set(entry.tls.spiffe_ids)],
    },
    capabilities: toCapabilities(entry.capabilities),
    credentials: toCredentials(entry, context, path),
    capacity: toCapacity(entry),
    discovery: toDiscovery(entry, path, context),
    balancing: toBalancing(entry, baseUrl, path, context),
    data: toData(entry),
    class: toClass(entry, preset.name, baseUrl, apiKey !== null || entry.credentials !== undefined),
    egress: toEgress(entry, baseUrl, path, context),
    propagateTrace: entry.propagate_trace,
  }
}

/** Names of the presets whose variables are set, in table order: what zero configuration turns on. */
export const presetsInEnv = (presets: readonly ProviderPreset[], env: Env): readonly string[] =>
  presets
    .filter((preset) => {
      const url = preset.urlEnv !== null && firstSet([preset.urlEnv], env) !== undefined
      if (preset.keyRequired) return firstSet(preset.keyEnv, env) !== undefined && (preset.baseUrl !== null || url)
      return url || (preset.baseUrl !== null && firstSet(preset.keyEnv, env) !== undefined)
    })
    .map((preset) => preset.name)
