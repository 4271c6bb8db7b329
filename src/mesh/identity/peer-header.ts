import type { PeerIdentity } from '../../contracts/identity.ts'
import { claimsSpiffe, isPlain, namedIdentity, spiffeIdentity } from './spiffe.ts'
import { lastElement } from './xfcc.ts'

export const XFCC = 'x-forwarded-client-cert'
export const L5D_CLIENT_ID = 'l5d-client-id'

/** What the value of an identity header says. */
export interface Testimony {
  /** null = it names nobody for certain. */
  readonly identity: PeerIdentity | null
  /** Why not; '' = it does. Holds nothing of the value. */
  readonly fault: string
  /** Who says it; empty = that is not said. */
  readonly by: readonly string[]
}

const NOT_SAID: readonly string[] = []

const said = (identity: PeerIdentity | null, fault: string, by = NOT_SAID): Testimony => ({
  identity,
  fault: identity === null ? fault : '',
  by,
})

const fromXfcc = (text: string): Testimony => {
  const element = lastElement(text)
  if (element === null) return said(null, 'is not of the form that Envoy writes')
  const { by, uri, dns } = element
  const ids = uri.filter(claimsSpiffe)
  if (ids.length > 1) return said(null, 'names two SPIFFE ids', by)
  if (ids.length === 1) return said(spiffeIdentity('header', ids[0]!), 'names a SPIFFE id that is not valid', by)
  const [name] = dns
  const named = name !== undefined && isPlain(name) ? namedIdentity('header', name) : null
  return said(named, 'names neither a SPIFFE id nor a DNS name', by)
}

const LINKERD = /^([a-z0-9.-]+)\.([a-z0-9-]+)\.serviceaccount\.identity\.(.+)$/

/** `ACCOUNT.NAMESPACE.serviceaccount.identity.TRUST-DOMAIN`, or a SPIFFE id. */
const linkerdIdentity = (text: string): PeerIdentity | null => {
  if (claimsSpiffe(text)) return spiffeIdentity('header', text)
  const match = LINKERD.exec(text)
  if (match === null || !isPlain(text)) return null
  const [, serviceAccount = '', namespace = '', trustDomain = ''] = match
  return { source: 'header', id: text, trustDomain, namespace, serviceAccount }
}

const plainIdentity = (text: string): PeerIdentity | null => {
  if (claimsSpiffe(text)) return spiffeIdentity('header', text)
  return isPlain(text) ? namedIdentity('header', text) : null
}

/**
 * What a header says of the caller. `x-forwarded-client-cert` of Envoy: its last element, which the proxy in front of us
 * added; `l5d-client-id` of Linkerd; every other one holds just the id. `header` in lower case; several lines joined with
 * a newline. Never throws.
 */
export const readPeerHeader = (header: string, value: string): Testimony => {
  const text = value.trim()
  if (text === '') return said(null, 'is empty')
  if (header === XFCC) return fromXfcc(text)
  if (header === L5D_CLIENT_ID) return said(linkerdIdentity(text), 'is not of the form that Linkerd writes')
  return said(plainIdentity(text), 'holds no single name')
}
