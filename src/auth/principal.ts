import type { AuthConfig, TenantConfig } from '../contracts/config-auth.ts'
import type { LimitRule } from '../contracts/config-limits.ts'
import type { PeerIdentity, Principal } from '../contracts/identity.ts'
import { compileAccess, compileRule, denyAll } from './access.ts'
import type { Rule } from './access.ts'
import { refused } from './refusal.ts'
import type { JsonObject } from './strict-json.ts'

/** All that a principal is made of. */
export interface Caller {
  readonly kind: Principal['kind']
  readonly keyId: string
  readonly tenant: string
  readonly team: string
  readonly user: string
  readonly roles: readonly string[]
  /** Its own grants; each must allow. */
  readonly rules: readonly Rule[]
  /** Without one known role it may do nothing, even though it names none. */
  readonly needsRole: boolean
  readonly limits: readonly LimitRule[]
  readonly labels: Readonly<Record<string, string>>
  /** Epoch ms. */
  readonly expiresAt: number
  readonly claims: JsonObject
  readonly peer: PeerIdentity | null
}

const NO_CLAIMS: JsonObject = Object.freeze({})

export const BARE_CALLER: Omit<Caller, 'kind' | 'keyId'> = {
  tenant: '',
  team: '',
  user: '',
  roles: [],
  rules: [],
  needsRole: false,
  limits: [],
  labels: {},
  expiresAt: Infinity,
  claims: NO_CLAIMS,
  peer: null,
}

/** What expressions see of a peer; the same fields for all, so that a condition on one never fails for want of it. */
const peerVariables = (peer: PeerIdentity | null): Readonly<Record<string, string>> =>
  peer === null
    ? NO_PEER
    : {
        id: peer.id,
        namespace: peer.namespace,
        service_account: peer.serviceAccount,
        trust_domain: peer.trustDomain,
      }

const NO_PEER = Object.freeze({ id: '', namespace: '', service_account: '', trust_domain: '' })

/** The same caller, coming through another peer. */
export const withPeer = (principal: Principal, peer: PeerIdentity): Principal => ({
  ...principal,
  peer,
  variables: { ...principal.variables, peer: peerVariables(peer) },
})

/** Grants of roles and tenants, compiled once a configuration, and the principals made with them. */
export class Principals {
  readonly #roles: ReadonlyMap<string, Rule>
  readonly #tenants: ReadonlyMap<string, Rule>
  readonly #labels: ReadonlyMap<string, Readonly<Record<string, string>>>

  constructor(roles: AuthConfig['roles'], tenants: readonly TenantConfig[]) {
    this.#roles = new Map(Object.entries(roles).map(([name, grant]) => [name, compileRule(`role ${name}`, grant)]))
    this.#labels = new Map(tenants.map(({ name, labels }) => [name, labels]))
    this.#tenants = new Map(tenants.map(({ name, grant }) => [name, compileRule(`tenant ${name}`, grant)]))
  }

  /** Throws GatewayError `unauthenticated` for a tenant that is none of the configured ones. */
  make(caller: Caller): Principal {
    const { kind, keyId, tenant, team, user, roles, limits, expiresAt, claims, peer } = caller
    const access = compileAccess([...caller.rules, ...this.#tenantRules(tenant)], this.#roleRules(caller))
    const variables = { kind, key: keyId, tenant, team, user, roles, peer: peerVariables(peer), claims }
    const labels = { ...this.#labels.get(tenant), ...caller.labels }
    return { kind, keyId, tenant, team, user, roles, peer, access, limits, labels, expiresAt, variables }
  }

  /** Callers must belong to one of them. */
  get hasTenants(): boolean {
    return this.#tenants.size > 0
  }

  #tenantRules(tenant: string): readonly Rule[] {
    if (tenant === '' || !this.hasTenants) return []
    const rule = this.#tenants.get(tenant)
    // Nothing is known of what it may do: to let it in would be to let it do everything.
    if (rule === undefined) throw refused('its tenant is none of the configured ones')
    return [rule]
  }

  #roleRules({ roles, needsRole }: Caller): readonly Rule[] {
    if (this.#roles.size === 0 || (roles.length === 0 && !needsRole)) return []
    const known = roles.flatMap((role) => this.#roles.get(role) ?? [])
    return known.length > 0 ? known : [denyAll('roles', 'the caller has none of the configured roles')]
  }
}
