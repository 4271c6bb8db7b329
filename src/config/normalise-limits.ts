import type { LedgerConfig, LimitConfig, LimitScope } from '../contracts/config-limits.ts'
import { compileExpression, compileValue } from '../core/expression.ts'
import type { Build } from './build.ts'
import { toLimitRules } from './limit-rules.ts'
import type { Path } from './problem.ts'
import type { ParsedConfig } from './schema.ts'

type ParsedLimit = NonNullable<ParsedConfig['limits']>[string]
type ParsedRedis = NonNullable<NonNullable<ParsedConfig['ledger']>['redis']>

/** What the limits of keys and tenants are called in answers and listings. */
const RESERVED = new Set(['key', 'tenant'])
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

type Compiled = { readonly ok: true } | { readonly ok: false; readonly message: string; readonly offset: number }

const checkExpression = (compiled: Compiled, path: Path, { map, problems }: Build): void => {
  if (compiled.ok) return
  // Of a text with `${...}` neither message nor offset may be shown: both tell something about the value.
  const hidden = map.get(path)?.raw !== undefined
  const message = hidden
    ? 'is not a CEL expression'
    : `${compiled.message} (character ${compiled.offset + 1} of the expression)`
  problems.push(map.problem(path, message))
}

const toScope = (scope: ParsedLimit['per'][number], path: Path, build: Build): LimitScope => {
  if (typeof scope === 'string') return { kind: scope }
  checkExpression(compileValue(scope.expression), [...path, 'expression'], build)
  return { kind: 'expression', source: scope.expression }
}

const checkName = (name: string, path: Path, { map, problems }: Build): void => {
  if (RESERVED.has(name)) {
    problems.push(map.problem(path, `\`${name}\` is the name of limits that ${name}s carry: choose another`, 'key'))
  } else if (!NAME.test(name)) {
    problems.push(map.problem(path, 'must be 1 to 64 letters, digits, `_`, `.` or `-`', 'key'))
  }
}

const toLimit = (name: string, parsed: ParsedLimit, build: Build): LimitConfig => {
  const path = ['limits', name]
  checkName(name, path, build)
  const plain = parsed.per.filter((scope) => typeof scope === 'string')
  const twice = plain.find((kind, i) => plain.indexOf(kind) !== i)
  if (twice !== undefined) build.problems.push(build.map.problem([...path, 'per'], `holds \`${twice}\` twice`))
  if (parsed.when !== undefined) checkExpression(compileExpression(parsed.when), [...path, 'when'], build)
  return {
    name,
    per: parsed.per.map((scope, i) => toScope(scope, [...path, 'per', i], build)),
    when: parsed.when ?? null,
    rules: toLimitRules(parsed.rules, [...path, 'rules'], build),
    shadow: parsed.shadow,
    onStoreFailure: parsed.on_store_failure,
    stopStreams: parsed.stop_streams,
  }
}

export const toLimits = (build: Build): readonly LimitConfig[] =>
  Object.entries(build.parsed.limits ?? {}).map(([name, limit]) => toLimit(name, limit, build))

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The URL without what is secret in it, and that. */
const splitUrl = (text: string, path: Path, { map, problems }: Build): RedisAddress | null => {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || url.hostname === '') {
    problems.push(map.problem(path, 'must be a URL such as `redis://redis:6379`'))
    return null
  }
  if (!/^(\/\d{0,4})?$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
    problems.push(map.problem(path, 'can have the number of a database as its path, and nothing else'))
  }
  const secret = { username: decoded(url.username), password: decoded(url.password) }
  url.username = ''
  url.password = ''
  return { url: url.href, ...secret }
}

interface RedisAddress {
  readonly url: string
  readonly username: string
  readonly password: string
}

const checkRedis = (redis: ParsedRedis, urls: readonly RedisAddress[], { map, problems }: Build): void => {
  const report = (field: Path, message: string): void => {
    problems.push(map.problem(['ledger', 'redis', ...field], message))
  }
  if (!redis.cluster && urls.length > 1) {
    report(['url'], 'holds several addresses: only a cluster (`cluster: true`) has them')
  }
  if (redis.cluster && urls.some(({ url }) => Number(new URL(url).pathname.slice(1)) > 0)) {
    report(['url'], 'names a database: a Redis Cluster has only number 0')
  }
  if (redis.lease < 3000) report(['lease'], 'must be at least 3s')
  if (redis.deadline < 5) report(['deadline'], 'must be at least 5ms')
  if (redis.tls !== undefined && !urls.some(isSecure)) report(['tls'], 'is for `rediss://` URLs')
  if (redis.tls?.ca !== undefined && !redis.tls.ca.includes('-----BEGIN CERTIFICATE-----')) {
    report(['tls', 'ca'], 'must be PEM text; `${file:/path/ca.pem}` reads it from a file')
  }
}

const isSecure = ({ url }: RedisAddress): boolean => url.startsWith('rediss:')

const textOrNull = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text)

const toRedis = (redis: ParsedRedis, build: Build): NonNullable<LedgerConfig['redis']> => {
  const path: Path = ['ledger', 'redis', 'url']
  const urls =
    typeof redis.url === 'string'
      ? [splitUrl(redis.url, path, build) ?? []].flat()
      : redis.url.flatMap((text, i) => splitUrl(text, [...path, i], build) ?? [])
  checkRedis(redis, urls, build)
  const { tls } = redis
  return {
    urls: urls.map(({ url }) => url),
    cluster: redis.cluster,
    username: redis.username ?? textOrNull(urls[0]?.username),
    password: redis.password ?? textOrNull(urls[0]?.password),
    tls: urls.some(isSecure) ? { ca: tls?.ca ?? null, rejectUnauthorized: tls?.verify ?? true } : null,
    prefix: redis.prefix,
    deadlineMs: redis.deadline,
    replicas: redis.replicas,
    leaseMs: redis.lease,
  }
}

export const toLedger = (build: Build): LedgerConfig => {
  const { ledger } = build.parsed
  return {
    redis: ledger?.redis === undefined ? null : toRedis(ledger.redis, build),
    file: ledger?.file ?? null,
    maxScopes: ledger?.max_scopes ?? 32_768,
  }
}
