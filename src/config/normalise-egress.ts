import type { EgressConfig, ProviderConfig } from '../contracts/config.ts'
import type { z } from 'zod'
import type { providerSchema } from './schema-provider.ts'

type Entry = z.output<typeof providerSchema>

/** Names without a dot, and those that Kubernetes gives to Services: nobody outside of a cluster has them. */
const IN_CLUSTER = /^[a-z0-9-]+$|\.svc$|\.svc\.[a-z0-9.-]+$|\.cluster\.local$/i

export const toClass = (entry: Entry, type: string, baseUrl: string): ProviderConfig['class'] => {
  if (entry.class !== undefined) return entry.class
  if (type === 'sim') return 'mesh'
  const host = URL.canParse(baseUrl) ? new URL(baseUrl).hostname : ''
  return host !== 'localhost' && IN_CLUSTER.test(host) ? 'mesh' : 'vendor'
}

export const toEgress = ({ egress }: Entry): EgressConfig => ({
  mode: egress.mode,
  proxy: null,
  plaintextKey: egress.plaintext_key,
})
