import type { Access, Principal } from '../contracts/identity.ts'

/** Nothing is denied. */
export const OPEN_ACCESS: Access = {
  request: () => null,
  model: () => null,
  target: () => null,
  anyTarget: true,
}

/** Whoever calls while callers are not asked who they are. */
export const ANONYMOUS: Principal = {
  kind: 'anonymous',
  keyId: '',
  tenant: '',
  team: '',
  user: '',
  roles: [],
  peer: null,
  access: OPEN_ACCESS,
  limits: [],
  labels: {},
  expiresAt: Infinity,
  variables: { kind: 'anonymous', key: '', tenant: '', team: '', user: '', roles: [], peer: '', claims: {} },
}
