/** Checks that the parts of `auth` and `tenants` share. */
import type { GrantConfig } from '../contracts/config-auth.ts'
import { compileExpression } from '../core/expression.ts'
import type { Build } from './build.ts'
import { didYouMean } from './nearest.ts'
import type { Path, Problem } from './problem.ts'
import type { ParsedGrant } from './schema-grant.ts'

const listed = (names: Iterable<string>): string => {
  const all = [...names]
  return all.length === 0 ? 'there are none' : `known: ${all.slice(0, 12).join(', ')}${all.length > 12 ? ', …' : ''}`
}

/** A fault unless `name` is one of `known`; tells the nearest one, or all. */
export const checkName = (
  noun: string,
  name: string,
  known: ReadonlySet<string>,
  path: Path,
  { map, problems }: Pick<Build, 'map' | 'problems'>,
): void => {
  if (known.has(name)) return
  const hint = map.get(path)?.raw === undefined ? didYouMean(name, known) : ''
  const message = `no ${noun} is named ${map.show(path, name)}${hint === '' ? `; ${listed(known)}` : hint}`
  problems.push(map.problem(path, message))
}

/** A fault unless the CEL condition compiles; tells where in it. */
export const checkCondition = (
  source: string | undefined,
  path: Path,
  { map, problems }: Pick<Build, 'map' | 'problems'>,
): void => {
  if (source === undefined) return
  const result = compileExpression(source)
  if (result.ok) return
  // Of a text with `${...}` neither message nor offset may be shown: both tell something about the value.
  const hidden = map.get(path)?.raw !== undefined
  const place = `${result.message} (character ${result.offset + 1} of the condition)`
  problems.push(map.problem(path, hidden ? 'is not a CEL condition' : place))
}

/** Providers of the file, faulty entries included; null = none is written, they come from the environment. */
export const providerNames = (build: Build): ReadonlySet<string> | null =>
  build.parsed.providers === undefined ? null : new Set(Object.keys(build.parsed.providers))

const providerFault = (name: string, known: ReadonlySet<string>, build: Build, path: Path): Problem | null => {
  const { map } = build
  // A faulty provider is reported where it stands, not again by each grant that names it.
  if (known.has(name) || map.get(['providers', name]) !== undefined) return null
  if (name.includes('*')) {
    const parts = name.split('*')
    const head = parts[0] ?? ''
    const tail = parts.at(-1) ?? ''
    if ([...known].some((provider) => provider.startsWith(head) && provider.endsWith(tail))) return null
    return map.problem(path, `${map.show(path, name)} fits no provider; ${listed(known)}`)
  }
  const hint = map.get(path)?.raw === undefined ? didYouMean(name, known) : ''
  return map.problem(path, `no provider is named ${map.show(path, name)}${hint === '' ? `; ${listed(known)}` : hint}`)
}

/** A fault unless there is such a provider (for `*`: one that it may mean). */
export const checkProvider = (name: string, path: Path, build: Build): void => {
  const known = providerNames(build)
  const problem = known === null ? null : providerFault(name, known, build, path)
  if (problem !== null) build.problems.push(problem)
}

/** A grant in the form of the contract; its providers and condition are checked. */
export const toGrant = (parsed: ParsedGrant, path: Path, build: Build): GrantConfig => {
  checkCondition(parsed.when, [...path, 'when'], build)
  parsed.providers?.forEach((name, i) => checkProvider(name, [...path, 'providers', i], build))
  const list = <T>(names: readonly T[] | undefined): readonly T[] | null =>
    names === undefined ? null : [...new Set(names)]
  return {
    models: list(parsed.models),
    operations: list(parsed.operations),
    providers: list(parsed.providers),
    tools: list(parsed.tools),
    regions: list(parsed.regions),
    noRetention: parsed.no_retention,
    when: parsed.when ?? null,
  }
}

/** Roles that must exist, and a tenant that must when any are configured. */
export const checkWhose = (
  { roles, tenant }: { readonly roles: readonly string[]; readonly tenant: string },
  path: Path,
  build: Build,
): void => {
  const known = new Set(Object.keys(build.parsed.auth?.roles ?? {}))
  roles.forEach((role, i) => checkName('role', role, known, [...path, 'roles', i], build))
  const tenants = new Set(Object.keys(build.parsed.tenants ?? {}))
  if (tenant !== '' && tenants.size > 0) checkName('tenant', tenant, tenants, [...path, 'tenant'], build)
}
