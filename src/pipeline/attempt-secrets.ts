import type { ProviderConfig } from '../contracts/config.ts'
import type { Credential } from '../contracts/credentials.ts'
import type { Target } from '../contracts/routing.ts'

/** What a provider tells keys apart by when it limits or refuses: the model called. */
export const credentialScope = ({ name, provider }: Target, model: string): string =>
  name.includes('*') ? `${provider.name}/${model}` : name

/** Values that a provider's errors could quote; short ones and API versions are no secrets. */
export function secretsOf({ apiKey, headers, query }: ProviderConfig, credential: Credential | null): string[] {
  const others = [...Object.values(headers), ...Object.values(query)].filter(
    (value) => value.length >= 12 && !/^\d{4}-\d\d-\d\d/.test(value),
  )
  const keys = credential === null ? [apiKey ?? ''] : [apiKey ?? '', ...credential.secrets]
  return [...keys.filter((key) => key.length >= 4), ...others]
}
