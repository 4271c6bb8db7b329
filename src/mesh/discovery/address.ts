import type { Endpoint } from '../../contracts/cluster.ts'
import { formatAddress } from '../../core/host-port.ts'

/** Weights beyond this would leave others nothing. */
const MAX_WEIGHT = 1_000_000

/** A weight that can be used; what is none counts as 1. */
export const weightOf = (value: unknown): number =>
  typeof value === 'number' && value > 0 && Number.isFinite(value) ? Math.min(value, MAX_WEIGHT) : 1

/** Names from registries go into logs and metrics: bounded, and nothing that a terminal obeys. */
export const wordOf = (value: unknown): string =>
  typeof value === 'string' ? value.slice(0, 253).replace(/[\x00-\x1f\x7f]/g, '') : ''

export const endpointOf = (
  at: { readonly host: string; readonly port: number },
  more: Partial<Omit<Endpoint, 'host' | 'port'>> = {},
): Endpoint => ({
  host: at.host,
  port: at.port,
  weight: more.weight ?? 1,
  priority: more.priority ?? 0,
  zone: more.zone ?? '',
  forZones: more.forZones ?? [],
  state: more.state ?? 'ready',
  name: more.name ?? '',
})

/** One of each `host:port`: a ready one rather than a draining one, else the first. */
export function deduped(list: readonly Endpoint[]): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>()
  for (const endpoint of list) {
    const address = formatAddress(endpoint.host, endpoint.port)
    const known = byAddress.get(address)
    if (known === undefined || (known.state === 'draining' && endpoint.state === 'ready'))
      byAddress.set(address, endpoint)
  }
  return [...byAddress.values()]
}
