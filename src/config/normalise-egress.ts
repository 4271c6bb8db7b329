import type { z } from 'zod'
import type { EgressConfig, ProviderConfig } from '../contracts/config.ts'
import { staysOnLoopback } from './loopback-only.ts'
import type { Path, Problem } from './problem.ts'
import type { providerSchema } from './schema-provider.ts'
import type { SourceMap } from './yaml-source.ts'

type Entry = z.output<typeof providerSchema>

/** Names without a dot, and those that Kubernetes gives to Services: nobody outside of a cluster has them. */
const IN_CLUSTER = /^[a-z0-9-]+$|\.svc$|\.cluster\.local$/i
/** `service.namespace`, or `service.namespace.svc.example.com` of a cluster with a domain of its own; or somebody else's. */
const LIKE_CLUSTER = /^[a-z0-9-]+\.[a-z0-9-]+$|\.svc\.[a-z0-9.-]+$/i

/**
 * keyed: it has a credential. What is only like a name of the cluster could be a domain of somebody's as well: taken for a
 * workload only where that would give no key away, and nobody's public API is (plain HTTP on a port of its own).
 */
export const toClass = (entry: Entry, type: string, baseUrl: string, keyed: boolean): ProviderConfig['class'] => {
  if (entry.class !== undefined) return entry.class
  if (type === 'sim') return 'mesh'
  const { hostname, protocol, port } = new URL(URL.canParse(baseUrl) ? baseUrl : 'http://localhost')
  if (hostname === 'localhost') return 'vendor'
  if (IN_CLUSTER.test(hostname)) return 'mesh'
  if (keyed || holdsSecret(entry.headers, entry.query)) return 'vendor'
  return LIKE_CLUSTER.test(hostname) && protocol === 'http:' && port !== '' ? 'mesh' : 'vendor'
}

interface Place {
  readonly map: SourceMap
  readonly problems: Problem[]
  readonly env: Readonly<Record<string, string | undefined>>
}

const inEnv = (env: Place['env'], ...names: readonly string[]): string | undefined => {
  for (const name of names) {
    const value = (env[name] ?? env[name.toLowerCase()])?.trim()
    if (value !== undefined && value !== '') return value
  }
  return undefined
}

/**
 * Does NO_PROXY name this host? Entries are separated by commas or blanks: `*`, a name, which stands for those below it
 * too (with or without a leading dot), or either with a port. As curl and Go read it, without address ranges.
 */
export function isProxied(url: URL, noProxy: string | undefined): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return (noProxy ?? '')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .every((entry) => {
      if (entry === '*') return false
      const [, name = '', wanted] = /^(.*?)(?::(\d{1,5}))?$/.exec(entry.toLowerCase()) ?? []
      const bare = entry.includes('::') ? entry.toLowerCase() : name.replace(/^\*?\./, '')
      if (wanted !== undefined && !entry.includes('::') && wanted !== port) return true
      return host !== bare && !host.endsWith(`.${bare}`)
    })
}

/** Null = that is no proxy's URL. Credentials in it become the header that they are for (RFC 7617). */
export function parseProxy(text: string): EgressConfig['proxy'] {
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (!URL.canParse(full)) return null
  const url = new URL(full)
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') return null
  if ((url.pathname !== '/' && url.pathname !== '') || url.search !== '' || url.hash !== '') return null
  const { username, password } = url
  try {
    const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    const authorization = pair === ':' ? null : `Basic ${Buffer.from(pair).toString('base64')}`
    return { url: url.origin, authorization }
  } catch {
    return null
  }
}

const findProxy = (entry: Entry, baseUrl: string, path: Path, place: Place): EgressConfig['proxy'] => {
  const { map, problems, env } = place
  const given = entry.egress.proxy
  const text = given ?? inEnv(env, 'HTTPS_PROXY', 'ALL_PROXY')
  if (text === undefined) {
    problems.push(map.problem([...path, 'egress'], '`connect-proxy` needs `proxy`, or HTTPS_PROXY', 'key'))
    return null
  }
  const proxy = parseProxy(text)
  if (proxy === null) {
    // Never shown: it may hold a password.
    const where = given === undefined ? 'environment variable HTTPS_PROXY' : 'this'
    const at = given === undefined ? [...path, 'egress'] : [...path, 'egress', 'proxy']
    problems.push(map.problem(at, `${where} is no URL of an HTTP proxy, such as \`http://proxy:3128\``))
    return null
  }
  // What the operator wrote for this provider holds; what the environment says for all has its exceptions there.
  if (given !== undefined || !URL.canParse(baseUrl)) return proxy
  return isProxied(new URL(baseUrl), inEnv(env, 'NO_PROXY')) ? proxy : null
}

export const toEgress = (entry: Entry, baseUrl: string, path: Path, place: Place): EgressConfig => {
  const { mode, proxy, plaintext_key: plaintextKey } = entry.egress
  const { map, problems } = place
  if (proxy !== undefined && mode !== 'connect-proxy')
    problems.push(map.problem([...path, 'egress', 'proxy'], 'means nothing without `mode: connect-proxy`', 'key'))
  if (mode === 'mesh-originate' && URL.canParse(baseUrl)) {
    const url = new URL(baseUrl)
    if (url.protocol === 'https:' && url.port !== '') {
      const why = `the mesh is called in clear, on the port of its ServiceEntry: write it as \`http://${url.hostname}:PORT\``
      problems.push(map.problem([...path, 'base_url'], why))
    }
  }
  return { mode, proxy: mode === 'connect-proxy' ? findProxy(entry, baseUrl, path, place) : null, plaintextKey }
}

/**
 * A key must not cross a network in clear because of a slip in an address. Within the cluster (`class: mesh`) and on
 * loopback that is the mesh's business; `egress-gateway` says that the mesh takes these calls to its own way out.
 */
export function checkPlaintext(
  provider: ProviderConfig,
  map: SourceMap,
  path: Path = ['providers', provider.name, 'base_url'],
): readonly Problem[] {
  const { baseUrl, class: kind, egress, apiKey, credentials, headers, query } = provider
  if (kind === 'mesh' || egress.plaintextKey || !URL.canParse(baseUrl)) return []
  if (egress.mode === 'mesh-originate' || egress.mode === 'egress-gateway') return []
  const url = new URL(baseUrl)
  if (url.protocol !== 'http:' || staysOnLoopback(provider, url.hostname)) return []
  const holdsKey = apiKey !== null || credentials !== null || holdsSecret(headers, query)
  if (!holdsKey) return []
  const message =
    'is not encrypted, and the key would cross the network in clear: use https; or say how it is protected with ' +
    '`egress: { mode: mesh-originate }` (the mesh speaks TLS), `class: mesh` (a workload of the mesh), or accept it ' +
    'with `egress: { plaintext_key: true }`'
  return [map.problem(path, message)]
}

/** By the name of a header or a parameter: a vendor may call its key what it likes. */
const isSecret = (name: string): boolean =>
  /auth|cookie|key|token|secret|passw|credential|signature/i.test(name) && !/^idempotency-key$/i.test(name)

const holdsSecret = (...all: readonly (Readonly<Record<string, unknown>> | undefined)[]): boolean =>
  all.some((named) => Object.keys(named ?? {}).some(isSecret))
