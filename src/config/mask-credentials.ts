import type { CredentialsConfig } from '../contracts/config-credentials.ts'

const MASK = '***'

/** Credentials fit for a dump: names, places and roles stay, everything that proves something is `***`. */
export const maskCredentials = (credentials: CredentialsConfig | null): CredentialsConfig | null => {
  if (credentials === null || credentials.kind === 'file') return credentials
  if (credentials.kind === 'pool')
    return { ...credentials, keys: credentials.keys.map((key) => ({ ...key, key: MASK })) }
  if (credentials.kind === 'aws') {
    const { source, assumeRole } = credentials
    const role =
      assumeRole === null || assumeRole.externalId === null ? assumeRole : { ...assumeRole, externalId: MASK }
    return {
      ...credentials,
      assumeRole: role,
      source: maskSource(source, ['secretAccessKey', 'sessionToken', 'token']),
    }
  }
  if (credentials.kind === 'google')
    return { ...credentials, source: maskSource(credentials.source, ['key', 'config']) }
  return { ...credentials, source: maskSource(credentials.source, ['clientSecret', 'header']) }
}

const maskSource = <T extends object>(source: T, secrets: readonly string[]): T =>
  Object.fromEntries(
    Object.entries(source).map(([name, value]) => [name, value !== null && secrets.includes(name) ? MASK : value]),
  ) as T
