import type { PeerIdentity } from '../../contracts/identity.ts'

const MAX_ID = 2048

/** The characters of a SPIFFE id (SPIFFE-ID section 2.1 to 2.3): no escapes, no empty or dot segments, no query. */
const SPIFFE = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)*)$/
const ACCOUNT = /^\/ns\/([^/]+)\/sa\/([^/]+)$/
const PLAIN = /^[\x21-\x7e]{1,2048}$/

/** Whether a URI claims to be a SPIFFE id, valid or not. */
export const claimsSpiffe = (uri: string): boolean => /^spiffe:/i.test(uri)

/** Visible ASCII without blanks: what can be a name, and cannot forge a line of a log. */
export const isPlain = (text: string): boolean => PLAIN.test(text)

/** A caller of whom nothing but a name is known. */
export const namedIdentity = (source: PeerIdentity['source'], id: string): PeerIdentity => ({
  source,
  id,
  trustDomain: '',
  namespace: '',
  serviceAccount: '',
})

/** Null when the text is no valid SPIFFE id. */
export const spiffeIdentity = (source: PeerIdentity['source'], id: string): PeerIdentity | null => {
  const match = id.length > MAX_ID ? null : SPIFFE.exec(id)
  if (match === null) return null
  const path = match[2] ?? ''
  if (path.split('/').some((part) => part === '.' || part === '..')) return null
  const account = ACCOUNT.exec(path)
  return {
    source,
    id,
    trustDomain: match[1] ?? '',
    namespace: account?.[1] ?? '',
    serviceAccount: account?.[2] ?? '',
  }
}
