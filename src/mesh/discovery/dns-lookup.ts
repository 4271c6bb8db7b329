import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { DiscoveryFault, type FaultReason } from './parts.ts'

/** One question, ms; asked again once, of the next server when there is one. */
const QUESTION_MS = 2500
const TRIES = 2

/** The questions of one source, which end with it. servers: `ip:port`; empty = the system's, as they are now. */
export function resolverOf(servers: readonly string[], signal: AbortSignal): Resolver {
  const resolver = new Resolver({ timeout: QUESTION_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers([...servers])
  signal.addEventListener('abort', () => resolver.cancel(), { once: true })
  return resolver
}

const REASONS: Readonly<Record<string, FaultReason>> = {
  ENOTFOUND: 'not_found',
  ETIMEOUT: 'timeout',
  EREFUSED: 'denied',
  ECONNREFUSED: 'unreachable',
  EBADRESP: 'invalid',
  EFORMERR: 'invalid',
  ESERVFAIL: 'failed',
  ENOTIMP: 'failed',
}

export const dnsFault = (name: string, error: unknown): DiscoveryFault => {
  const { code = 'failed' } = error as NodeJS.ErrnoException
  return new DiscoveryFault(REASONS[code] ?? 'failed', `${name}: ${code}`)
}

/** The name is there and has no record of this type (NODATA, RFC 2308). */
export const isNoData = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENODATA'

export interface Addresses {
  readonly hosts: readonly string[]
  /** Seconds until the first of them expires; Infinity = there is none. */
  readonly ttl: number
}

const NONE: Addresses = { hosts: [], ttl: Infinity }

type Outcome = Addresses | { readonly error: unknown }

async function familyOf(resolver: Resolver, name: string, family: 4 | 6): Promise<Outcome> {
  try {
    const records = await (family === 4
      ? resolver.resolve4(name, { ttl: true })
      : resolver.resolve6(name, { ttl: true }))
    return { hosts: records.map((r) => r.address), ttl: Math.min(...records.map((r) => r.ttl)) }
  } catch (error) {
    return isNoData(error) ? NONE : { error }
  }
}

/**
 * A and AAAA records. known: of the last time, by family: a family that cannot be asked while the other can keeps what it
 * had. Resolves with nobody when the name has neither; rejects with a DiscoveryFault when nothing is known for certain.
 */
export async function addressesOf(
  resolver: Resolver,
  name: string,
  known: Map<4 | 6, readonly string[]> = new Map(),
): Promise<Addresses> {
  if (isIP(name) !== 0) return { hosts: [name], ttl: Infinity }
  const [v4, v6] = await Promise.all([familyOf(resolver, name, 4), familyOf(resolver, name, 6)])
  if ('error' in v4 && 'error' in v6) throw dnsFault(name, v4.error)
  const one = (family: 4 | 6, outcome: Outcome): Addresses => {
    if ('error' in outcome) return { hosts: known.get(family) ?? [], ttl: 0 }
    known.set(family, outcome.hosts)
    return outcome
  }
  const both = [one(4, v4), one(6, v6)]
  const hosts = both.flatMap((found) => found.hosts)
  const failed = [v4, v6].find((outcome) => 'error' in outcome)
  // Nobody is there only when both have been asked: servers that know nothing of AAAA are many.
  if (hosts.length === 0 && failed !== undefined) throw dnsFault(name, failed.error)
  return { hosts, ttl: Math.min(...both.map((found) => found.ttl)) }
}

/** Ms until records of this TTL (seconds) are asked for again. */
export const waitOf = (
  ttl: number,
  { minTtlMs, maxTtlMs }: { readonly minTtlMs: number; readonly maxTtlMs: number },
): number => Math.min(Math.max(ttl * 1000, minTtlMs), Math.max(minTtlMs, maxTtlMs))
