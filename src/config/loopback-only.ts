import type { ProviderConfig } from '../contracts/config.ts'
import { parseAddress } from '../core/host-port.ts'
import { isLoopback } from '../core/loopback.ts'

/**
 * Calls of the provider never leave this machine: hostname, that of its base_url, is loopback's, and so is every address
 * that they may go to in its place. What a registry will say is not known.
 */
export function staysOnLoopback(
  { discovery, balancing }: Pick<ProviderConfig, 'discovery' | 'balancing'>,
  hostname: string,
): boolean {
  if (!isLoopback(hostname)) return false
  if (discovery === null || balancing?.owner === 'mesh') return true
  return (
    discovery.type === 'static' &&
    discovery.endpoints.every(({ address }) => isLoopback(parseAddress(address)?.host ?? ''))
  )
}
