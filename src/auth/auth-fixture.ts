/** Configurations, clocks and requests for tests of authentication. */
import { createHash } from 'node:crypto'
import type {
  AuthConfig,
  JwtConfig,
  KeyConfig,
  PeerEntryConfig,
  PeersConfig,
  TenantConfig,
} from '../contracts/config-auth.ts'
import type { Authenticator, PeerSource, Principal } from '../contracts/identity.ts'
import { IdentityGate } from '../mesh/identity/gate.ts'
import { rulesOfPeers } from '../mesh/identity/rules.ts'
import { GatewayError } from '../core/errors.ts'
import { NOTHING_RESTRICTED } from './access-fixture.ts'
import { createAuthenticator } from './authenticator.ts'
import { KeySets } from './key-set.ts'
import type { KeySetEvent } from './key-set.ts'
import { Revocations } from './revocations.ts'

/** 2026-11-22, in ms and seconds. */
export const NOW = Date.UTC(2026, 10, 22)
export const NOW_S = NOW / 1000

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

export const NOBODY: AuthConfig = {
  anonymous: { allowed: false, roles: [] },
  keys: [],
  signedKeys: null,
  jwt: [],
  peers: null,
  roles: {},
}

export const keyOf = (id: string, secret: string, some: Partial<KeyConfig> = {}): KeyConfig => ({
  id,
  hashes: [{ sha256: sha256(secret), until: Infinity }],
  owner: '',
  labels: {},
  tenant: '',
  team: '',
  user: '',
  roles: [],
  grant: NOTHING_RESTRICTED,
  limits: [],
  expiresAt: Infinity,
  ...some,
})

/** An entry of `peers.map`. */
export const peerEntry = (some: Partial<PeerEntryConfig>): PeerEntryConfig => ({
  id: null,
  trustDomain: null,
  namespace: null,
  serviceAccount: null,
  alsoKey: false,
  tenant: '',
  team: '',
  user: '',
  roles: [],
  grant: NOTHING_RESTRICTED,
  limits: [],
  ...some,
})

/** `peers` with these entries, and the header of a mesh believed from these addresses. */
export const peersOf = (some: Partial<PeersConfig>): PeersConfig => ({
  header: null,
  trust: [],
  map: [],
  claims: null,
  ...some,
})

export const tenantOf = (name: string, some: Partial<TenantConfig> = {}): TenantConfig => ({
  name,
  grant: NOTHING_RESTRICTED,
  limits: [],
  labels: {},
  weight: 1,
  priority: 0,
  credentials: {},
  ...some,
})

export const jwtOf = (some: Partial<JwtConfig>): JwtConfig => ({
  name: 'idp',
  issuer: 'https://idp.example',
  audiences: ['heddle'],
  algorithms: ['RS256', 'ES256', 'PS256', 'EdDSA'],
  jwks: { kind: 'inline', text: '{"keys":[]}' },
  clockToleranceMs: 30_000,
  maxAgeMs: 0,
  claims: { tenant: null, team: null, user: null, roles: null, models: null, limits: null },
  tenant: '',
  roles: [],
  require: null,
  ...some,
})

/** Outside of a mesh: what `auth.peers` says is believed. */
export const gateOf = ({ peers }: Partial<AuthConfig>): IdentityGate =>
  new IdentityGate(rulesOfPeers(peers ?? { header: null, trust: [] }))

/** An authenticator with a clock that only `advance` moves. */
export const setup = (config: Partial<AuthConfig>, tenants: readonly TenantConfig[] = [], gate?: IdentityGate) => {
  let now = NOW
  const clock = { now: () => now, monotonic: () => now }
  const events: KeySetEvent[] = []
  const revocations = new Revocations()
  const keySets = new KeySets({ clock, onEvent: (event) => void events.push(event) })
  const parts = { clock, revocations, keySets, gate: gate ?? gateOf(config) }
  const auth = createAuthenticator({ ...NOBODY, ...config }, tenants, parts)
  return {
    auth,
    clock,
    events,
    revocations,
    keySets,
    gate: parts.gate,
    advance: (ms: number) => {
      now += ms
    },
  }
}

export const from = (headers: Readonly<Record<string, string>>, some: Partial<PeerSource> = {}): PeerSource => ({
  peerIdentity: null,
  peer: '203.0.113.9',
  header: (name) => headers[name],
  identityHeader: (name) => headers[name],
  ...some,
})

export const bearer = (token: string): PeerSource => from({ authorization: `Bearer ${token}` })

/** The refusal's detail; fails when the caller is let in. */
export const refusalOf = async (identify: () => Principal | Promise<Principal>): Promise<string> => {
  let principal: Principal
  try {
    principal = await identify()
  } catch (error) {
    if (GatewayError.is(error) && error.code === 'unauthenticated') return error.detail ?? ''
    throw error
  }
  throw new Error(`let in as ${principal.keyId}`)
}

/** identify as a promise, whatever it gives and throws. */
export const who = async (auth: Authenticator, source: PeerSource): Promise<Principal> => auth.identify(source)
