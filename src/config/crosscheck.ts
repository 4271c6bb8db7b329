import { createSecureContext } from 'node:tls'
import { compileExpression } from '../core/expression.ts'
import type { ProviderConfig, ProviderPreset, RouteDefaults, ServerConfig } from '../contracts/config.ts'
import { didYouMean } from './nearest.ts'
import { checkPlaintext } from './normalise-egress.ts'
import type { PlacedModel } from './normalise.ts'
import { isLoopback } from '../core/loopback.ts'
import { formatPath } from './problem.ts'
import type { Path, Problem } from './problem.ts'
import type { SourceMap } from './yaml-source.ts'

const stars = (text: string): number => text.split('*').length - 1

const checkTls = ({ tls }: ServerConfig, map: SourceMap): readonly Problem[] => {
  if (tls === null) return []
  if (tls.svid) return []
  if (tls.cert === '' || tls.key === '')
    return [map.problem(['server', 'tls'], '`cert` and `key` are needed, or `svid: true`', 'key')]
  const problems: Problem[] = []
  if (tls.clientCert !== 'none' && tls.clientCa === null)
    problems.push(map.problem(['server', 'tls'], '`client_cert` needs `client_ca`: whose certificates are believed'))
  try {
    createSecureContext({ cert: tls.cert, key: tls.key, ...(tls.clientCa === null ? {} : { ca: tls.clientCa }) })
  } catch {
    // The library's words may quote what it was given.
    problems.push(map.problem(['server', 'tls'], 'certificate, key and `client_ca` cannot be used together', 'key'))
  }
  return problems
}

/** Else nothing would be listened on. */
const checkPolicyTls = ({ policy, tls }: ServerConfig, map: SourceMap): readonly Problem[] =>
  policy?.tls === true && tls === null
    ? [map.problem(['server', 'policy', 'tls'], 'needs `server.tls`: where the certificate comes from', 'key')]
    : []

/** Each has endpoints to choose from. */
export const checkPickers = (
  { policy }: ServerConfig,
  providers: readonly ProviderConfig[],
  declared: readonly string[],
  map: SourceMap,
): readonly Problem[] =>
  (policy?.pickers ?? []).flatMap(({ provider: name }, i) => {
    const path: Path = ['server', 'policy', 'pickers', i, 'provider']
    const provider = providers.find((one) => one.name === name)
    // One that is itself faulty has been reported.
    if (provider === undefined && declared.includes(name)) return []
    if (provider === undefined)
      return [map.problem(path, `no provider is named ${map.show(path, name)}${didYouMean(name, declared)}`)]
    return provider.discovery === null
      ? [map.problem(path, `provider ${map.show(path, name)} has no \`discovery\`: there is nothing to choose from`)]
      : []
  })

/** What it answers holds the keys of providers, for whoever has a key of ours. */
const exposedPolicy = (
  { policy, tls }: ServerConfig,
  exposed: (path: Path, host: string, what: string) => readonly Problem[],
): readonly Problem[] =>
  policy === null || (policy.tls && tls?.clientCert === 'required')
    ? []
    : exposed(
        ['policy', 'host'],
        policy.host,
        'the policy service believes what it is told of callers, and hands out credentials of providers. Set `tls: true` ' +
          'with `server.tls.client_cert: required`, use 127.0.0.1, or set `server.insecure: true` when the mesh decides who may connect',
      )

export const checkServer = (server: ServerConfig, authenticated: boolean, map: SourceMap): readonly Problem[] => {
  const problems = [...checkTls(server, map), ...checkPolicyTls(server, map)]
  if (server.insecure) return problems
  const exposed = (key: string | Path, host: string, what: string): readonly Problem[] => {
    if (isLoopback(host)) return []
    const path = ['server', ...(typeof key === 'string' ? [key] : key)]
    return [map.problem(path, `${map.show(path, host)} is reachable from other machines and ${what}`)]
  }
  const open =
    'clients are not authenticated: everyone there could spend your keys. Say who may call under `auth`, use ' +
    '127.0.0.1, or set `server.insecure: true` (flag --insecure) when a mesh, proxy or firewall decides who may call'
  const admin =
    'the admin API asks for no token: everyone there could read what is configured and used. Set ' +
    '`server.admin_token`, use 127.0.0.1, or set `server.insecure: true` (flag --insecure)'
  return [
    ...problems,
    ...(authenticated ? [] : exposed('host', server.host, open)),
    ...exposedPolicy(server, exposed),
    ...(server.adminToken === null ? exposed('admin_host', server.adminHost, admin) : []),
  ]
}

/** Does the one `*` of `pattern` make it fit `name`? */
const fits = (pattern: string, name: string): boolean => {
  const at = pattern.indexOf('*')
  if (at < 0) return pattern === name
  const head = pattern.slice(0, at)
  const tail = pattern.slice(at + 1)
  return name.length >= head.length + tail.length && name.startsWith(head) && name.endsWith(tail)
}

const checkNames = (models: readonly PlacedModel[], map: SourceMap): readonly Problem[] => {
  const problems: Problem[] = []
  const owners = new Map<string, string>()
  for (const { config, path } of models) {
    owners.set(config.name, formatPath(path))
    if (stars(config.name) > 1) problems.push(map.problem(path, 'a model’s name can hold one `*` only', 'key'))
  }
  for (const { config, path } of models) {
    config.aliases.forEach((alias, i) => {
      const at: Path = [...path, 'aliases', i]
      const owner = owners.get(alias)
      if (alias.includes('*')) {
        problems.push(map.problem(at, 'an alias cannot hold `*`; give the pattern its own entry'))
      }
      if (owner !== undefined) problems.push(map.problem(at, `${map.show(at, alias)} is already the name of ${owner}`))
      else owners.set(alias, formatPath(at))
    })
  }
  return problems
}

interface TargetPlace {
  readonly model: PlacedModel
  readonly index: number
  readonly path: Path
}

const checkWhen = (place: TargetPlace, when: string, map: SourceMap): readonly Problem[] => {
  const result = compileExpression(when)
  if (result.ok) return []
  const path: Path = [...place.path, 'when']
  // Of a text with `${...}` neither message nor offset may be shown: both tell something about the value.
  const hidden = map.get(path)?.raw !== undefined
  const message = hidden
    ? 'is not a CEL condition'
    : `${result.message} (character ${result.offset + 1} of the condition)`
  return [map.problem(path, message)]
}

interface KnownProviders {
  readonly names: ReadonlySet<string>
  /** Model names that providers claim. */
  readonly patterns: readonly string[]
  readonly presets: ReadonlyMap<string, ProviderPreset>
}

const checkFallbacks = (
  models: readonly PlacedModel[],
  declared: readonly string[],
  known: KnownProviders,
  map: SourceMap,
): readonly Problem[] => {
  const names = [...new Set([...models.flatMap(({ config }) => [config.name, ...config.aliases]), ...declared])]
  const exact = new Set(names)
  // As in a request, `provider/model` and names that a provider claims need no entry of their own.
  const patterns = [...names.filter((name) => name.includes('*')), ...known.patterns]
  const isDirect = (name: string): boolean => name.indexOf('/') > 0 && known.names.has(name.slice(0, name.indexOf('/')))
  return models.flatMap(({ config, fallbackPaths }) =>
    fallbackPaths.flatMap(({ name, path }) => {
      if (name === config.name || config.aliases.includes(name)) {
        return [map.problem(path, 'a model cannot fall back to itself')]
      }
      if (exact.has(name) || isDirect(name) || patterns.some((pattern) => fits(pattern, name))) return []
      const hint = map.get(path)?.raw === undefined ? didYouMean(name, names) : ''
      return [map.problem(path, `no model is named ${map.show(path, name)}${hint}`)]
    }),
  )
}

const unknownProvider = (name: string, path: Path, known: KnownProviders, map: SourceMap): Problem => {
  if (map.get(path)?.raw !== undefined) return map.problem(path, `no provider is named ${map.show(path, '')}`)
  const hint = didYouMean(name, known.names)
  const preset = known.presets.get(name)
  if (preset !== undefined) {
    const variable = preset.keyEnv[0] ?? preset.urlEnv
    const how = variable === null || variable === undefined ? '' : ` and set ${variable}`
    return map.problem(path, `provider \`${name}\` is not on: add \`${name}:\` under \`providers\`${how}`)
  }
  const listed = hint === '' ? `; known providers: ${[...known.names].join(', ') || 'none'}` : hint
  return map.problem(path, `no provider is named \`${name}\`${listed}`)
}

const checkTarget = (place: TargetPlace, known: KnownProviders, map: SourceMap): readonly Problem[] => {
  const { model, index, path } = place
  const target = model.config.targets[index]
  if (target === undefined) return []
  const problems: Problem[] = []
  if (!known.names.has(target.provider)) {
    const at = map.get([...path, 'provider']) === undefined ? path : [...path, 'provider']
    problems.push(unknownProvider(target.provider, at, known, map))
  }
  if (target.model !== null && target.model.includes('*')) {
    const at = map.get([...path, 'model']) === undefined ? path : [...path, 'model']
    if (stars(target.model) > 1) problems.push(map.problem(at, 'a target’s model can hold one `*` only'))
    else if (!model.config.name.includes('*')) {
      problems.push(map.problem(at, '`*` has nothing to stand for: the public name holds no `*`'))
    }
  }
  if (target.canary !== null && target.shadow !== null) {
    problems.push(map.problem([...path, 'shadow'], 'a target is either a canary or a shadow', 'key'))
  }
  if (target.when !== null) problems.push(...checkWhen(place, target.when, map))
  return problems
}

const checkTargets = (model: PlacedModel, known: KnownProviders, map: SourceMap): readonly Problem[] => {
  const { config, path, targetPaths } = model
  const problems = targetPaths.flatMap((at, index) => checkTarget({ model, index, path: at }, known, map))
  const serving = config.targets.filter((target) => target.shadow === null)
  const ordinary = serving.filter((target) => target.canary === null)
  if (ordinary.length === 0) {
    problems.push(map.problem(path, 'every target is a canary or a shadow: at least one must serve the rest', 'key'))
  } else if (ordinary.every((target) => target.weight === 0)) {
    problems.push(map.problem(path, 'every target has weight 0: none would ever be chosen', 'key'))
  }
  const canaries = serving.reduce((sum, target) => sum + (target.canary ?? 0), 0)
  if (canaries > 1) problems.push(map.problem(path, 'the canary shares add up to more than 100%', 'key'))
  return problems
}

/** Said where it was written: a fault of `defaults` is reported there and not again for every model. */
const checkTimers = (settings: RouteDefaults, base: Path, map: SourceMap): readonly Problem[] => {
  const { timeouts, breaker, retries } = settings
  const problems: Problem[] = []
  const add = (path: Path, message: string): void => {
    if (map.get([...base, ...path]) !== undefined) problems.push(map.problem([...base, ...path], message, 'key'))
  }
  if (timeouts.totalMs > 0 && timeouts.firstTokenMs > timeouts.totalMs) {
    add(['timeouts'], '`first_token` is longer than `total`, so it can never end an attempt')
  }
  if (breaker.baseEjectionMs > breaker.maxEjectionMs) add(['breaker'], '`base_ejection` is longer than `max_ejection`')
  if (retries.backoff.baseMs > retries.backoff.maxMs) add(['retries', 'backoff'], '`base` is longer than `max`')
  return problems
}

export const checkDefaults = (defaults: RouteDefaults, map: SourceMap): readonly Problem[] =>
  checkTimers(defaults, ['defaults'], map)

/** Keys as they stand in the files, faulty entries included. */
export interface Declared {
  readonly providers: readonly string[]
  readonly models: readonly string[]
}

/** What no schema can say: names that must exist, names that clash, conditions that must compile. */
export const checkModels = (
  models: readonly PlacedModel[],
  providers: readonly ProviderConfig[],
  declared: Declared,
  presets: ReadonlyMap<string, ProviderPreset>,
  map: SourceMap,
): readonly Problem[] => {
  // A declared provider that is itself faulty is reported once, not again by each target that names it.
  const names = new Set([...providers.map((provider) => provider.name), ...declared.providers])
  const known: KnownProviders = { names, presets, patterns: providers.flatMap((provider) => provider.modelPatterns) }
  return [
    ...providers.flatMap((provider) => checkPlaintext(provider, map)),
    ...checkNames(models, map),
    ...models.flatMap((model) => checkTargets(model, known, map)),
    ...checkFallbacks(models, declared.models, known, map),
    ...models.flatMap(({ config, path }) => checkTimers(config, path, map)),
  ]
}
