import { createHash } from 'node:crypto'
import type { Principal } from '../contracts/identity.ts'

/** Who may ask for what is kept: the tenant, and the key, token's subject or peer. */
export type Owner = Pick<Principal, 'kind' | 'tenant' | 'keyId'>

/**
 * The key of a blob: SHA-256 over what it is, whose it is, and its id. A caller's own id leads nowhere else, and from a
 * key of the store nobody learns an id. JSON keeps the parts apart: no two callers can be made to look the same.
 */
export const blobKey = (what: string, { kind, tenant, keyId }: Owner, id: string): string =>
  createHash('sha256')
    .update(JSON.stringify([what, kind, tenant, keyId, id]))
    .digest('hex')

/** The key of a blob that is nobody's in particular. */
export const commonKey = (what: string, id: string): string =>
  createHash('sha256')
    .update(JSON.stringify([what, id]))
    .digest('hex')
