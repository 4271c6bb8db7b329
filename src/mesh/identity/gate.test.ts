import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerIdentity, PeerSource } from '../../contracts/identity.ts'
import { AddressRanges, sidecarAddresses } from './addresses.ts'
import { IdentityGate } from './gate.ts'
import type { IdentityRules, Trust } from './rules.ts'
import { spiffeIdentity } from './spiffe.ts'
import { CLOSED_HEADERS } from './visible.ts'

const XFCC = 'x-forwarded-client-cert'
const CHAT = 'spiffe://td/ns/apps/sa/chat'
const HEDDLE = 'spiffe://td/ns/llm/sa/heddle'
const INGRESS = 'spiffe://td/ns/edge/sa/ingress'

const gateOf = (trust: Trust, some: Partial<IdentityRules> = {}): IdentityGate =>
  new IdentityGate({
    header: XFCC,
    trust,
    ownPrincipals: [],
    payloadHeader: null,
    claimHeaders: {},
    claimsFrom: [],
    ...some,
  })
const SIDECAR: Trust = { kind: 'addresses', ranges: ['127.0.0.1', '::1', '127.0.0.6'] }

const request = (
  headers: Readonly<Record<string, string>>,
  peer = '127.0.0.1',
  peerIdentity: PeerIdentity | null = null,
): PeerSource => ({ peer, peerIdentity, header: (name) => headers[name], identityHeader: (name) => headers[name] })

const certified = (id: string): PeerIdentity => spiffeIdentity('mtls', id)!
const idOf = (gate: IdentityGate, from: PeerSource): string | null => gate.identityOf(from)?.id ?? null

describe('ID-1: whose header counts', () => {
  const headers = { [XFCC]: `By=${HEDDLE};URI=${CHAT}` }

  test.each([
    ['127.0.0.1', CHAT],
    ['::1', CHAT],
    ['::ffff:127.0.0.1', CHAT],
    ['127.0.0.6', CHAT],
    ['127.0.0.2', null],
    ['10.0.0.9', null],
    ['', null],
    ['nonsense', null],
  ])('of a sidecar at %j', (peer, expected) => {
    const gate = gateOf(SIDECAR)
    // Twice: the second answer is remembered.
    for (let i = 0; i < 2; i++) expect(idOf(gate, request(headers, peer))).toBe(expected)
  })

  test('nobody’s, and anybody’s', () => {
    expect(idOf(gateOf({ kind: 'nobody' }), request(headers))).toBeNull()
    expect(idOf(gateOf({ kind: 'anyone' }), request(headers, '203.0.113.9'))).toBe(CHAT)
  })

  test('mtls: a verified peer speaks for itself, and only a forwarder for others', () => {
    const forged = { [XFCC]: `By=${HEDDLE};URI=spiffe://td/ns/ops/sa/root` }
    const gate = gateOf({ kind: 'forwarders', ids: [INGRESS] })
    expect(idOf(gate, request(forged, '10.0.0.9', certified(CHAT)))).toBe(CHAT)
    expect(idOf(gate, request(forged, '10.0.0.9'))).toBeNull()
    const forwarded = (value: string) => request({ [XFCC]: value }, '10.0.0.9', certified(INGRESS))
    expect(idOf(gate, forwarded(`By=${INGRESS};URI=${CHAT}`))).toBe(CHAT)
    expect(idOf(gate, forwarded(`URI=${CHAT}`))).toBe(CHAT)
    // An element that the forwarder has not written: it has only carried it.
    expect(idOf(gate, forwarded(`By=${HEDDLE};URI=${CHAT}`))).toBeNull()
    // Who came through it without an identity is not the forwarder.
    expect(idOf(gate, request({}, '10.0.0.9', certified(INGRESS)))).toBeNull()
    // Without any forwarder everybody is who the certificate says.
    const alone = gateOf({ kind: 'forwarders', ids: [] })
    expect(idOf(alone, request(forged, '10.0.0.9', certified(INGRESS)))).toBe(INGRESS)
  })

  test('from a sidecar without the header nobody is known, whatever certificate the connection has', () => {
    expect(idOf(gateOf(SIDECAR), request({}, '127.0.0.1', certified(CHAT)))).toBeNull()
    expect(idOf(gateOf(SIDECAR), request({}, '10.0.0.9', certified(CHAT)))).toBe(CHAT)
  })
})

describe('ID-2: an element that was written for somebody else', () => {
  const gate = gateOf(SIDECAR, { ownPrincipals: ['spiffe://td/ns/llm/sa/*'] })
  test.each([
    [`By=${HEDDLE};URI=${CHAT}`, CHAT, ''],
    [`By=https://x;By=${HEDDLE};URI=${CHAT}`, CHAT, ''],
    [`By=spiffe://td/ns/other/sa/x;URI=${CHAT}`, null, '`By`'],
    [`URI=${CHAT}`, null, '`By`'],
    [`By=;URI=${CHAT}`, null, '`By`'],
    [`By=${HEDDLE};URI=spiffe://td/ns/ops/sa/root,By=spiffe://td/ns/other/sa/x;URI=${CHAT}`, null, '`By`'],
    [`By=${HEDDLE};URI=${CHAT};URI=${HEDDLE}`, null, 'two SPIFFE ids'],
    [`By=${HEDDLE};Subject="`, null, 'not of the form'],
  ])('%s', (value, expected, doubt) => {
    const from = request({ [XFCC]: value })
    expect(idOf(gate, from)).toBe(expected)
    expect(gate.doubt(from)).toContain(doubt)
    expect(gate.doubt(from)).not.toContain('spiffe')
  })
})

test('the reason tells from where, and nothing of the claim', () => {
  const from = request({ [XFCC]: `URI=${CHAT}` }, '10.0.0.9')
  expect(gateOf(SIDECAR).doubt(from)).toBe(`\`${XFCC}\` from 10.0.0.9 is not believed`)
  expect(gateOf({ kind: 'nobody' }, { header: null }).doubt(from)).toContain('is not believed')
  expect(gateOf({ kind: 'nobody' }, { header: null }).doubt(request({ 'l5d-client-id': 'x' }))).toContain(
    'l5d-client-id',
  )
  expect(gateOf(SIDECAR).doubt(request({}))).toBe('')
})

test('one value of the header is one object, so that what hangs on it is found without a name', () => {
  const gate = gateOf(SIDECAR)
  const value = `By=${HEDDLE};URI=${CHAT}`
  expect(gate.identityOf(request({ [XFCC]: value }))).toBe(
    gate.identityOf(request({ [XFCC]: Buffer.from(value).toString() })),
  )
})

describe('what others see', () => {
  const all = {
    host: 'x',
    [XFCC]: 'a',
    'l5d-client-id': 'a',
    'x-jwt-payload': 'a',
    'x-verified': 'a',
    'x-tenant-claim': 'a',
    'x-envoy-attempt-count': '1',
    'x-envoy-original-dst-host': '10.0.0.1:80',
    'l5d-dst-canonical': 'a',
    'l5d-dst-override': 'a',
    'x-gateway-destination-endpoint': 'a',
    'x-llm-d-anything': 'a',
    'x-request-id': 'a',
    'x-mine': 'a',
  }
  const shown = (gate: IdentityGate | null, peer: string): string[] => {
    const from = request(all, peer)
    return Object.keys((gate?.headers ?? CLOSED_HEADERS).visible(all, from)).sort()
  }
  const claims = { payloadHeader: 'x-verified', claimHeaders: { tenant: 'x-tenant-claim' } }

  test('identities never; a proxy’s own headers from that proxy alone', () => {
    const rest = ['host', 'x-mine', 'x-request-id']
    expect(shown(gateOf(SIDECAR, claims), '10.0.0.9')).toEqual(rest)
    expect(shown(gateOf(SIDECAR, claims), '127.0.0.1')).toEqual([
      'host',
      'x-envoy-attempt-count',
      'x-mine',
      'x-request-id',
    ])
    const linkerd = gateOf(SIDECAR, { ...claims, header: 'l5d-client-id' })
    expect(shown(linkerd, '127.0.0.1')).toEqual(['host', 'l5d-dst-canonical', 'x-mine', 'x-request-id'])
    expect(shown(null, '127.0.0.1')).toEqual(['host', 'x-mine', 'x-request-id', 'x-tenant-claim', 'x-verified'].sort())
  })

  test('nothing is copied when nothing is hidden', () => {
    const plain = { host: 'x', accept: '*/*', 'x-request-id': 'a' }
    expect(CLOSED_HEADERS.visible(plain, request(plain))).toBe(plain)
  })

  test('any name is sorted, and one and all agree', () => {
    const gate = gateOf(SIDECAR, claims)
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.constantFrom(...Object.keys(all)), fc.constant('__proto__')), (name) => {
        const from = request({}, '10.0.0.9')
        const one = gate.headers.shows(name, from)
        const some = Object.fromEntries([[name, 'v']])
        expect(Object.keys(gate.headers.visible(some, from))).toEqual(one ? [name] : [])
      }),
    )
  })
})

describe('claims of a token that the proxy has verified', () => {
  const some = { payloadHeader: 'x-jwt', claimHeaders: { team: 'x-team' } }
  const chat = certified(CHAT)

  test.each([
    [[INGRESS], '127.0.0.1', CHAT, false],
    [[CHAT], '127.0.0.1', CHAT, true],
    [['spiffe://*'], '127.0.0.1', CHAT, true],
    [['spiffe://*'], '127.0.0.1', null, false],
    [['*'], '127.0.0.1', null, true],
    [['*'], '10.0.0.9', CHAT, false],
    [[], '127.0.0.1', CHAT, false],
  ])('of %j, from %s, of %s: %s', (claimsFrom, peer, id, expected) => {
    const gate = gateOf(SIDECAR, { ...some, claimsFrom })
    const found = gate.claimsOf(request({ 'x-jwt': 'e30', 'x-team': 'a' }, peer), id === null ? null : chat)
    expect(found).toEqual(expected ? { payload: 'e30', single: ['team', 'a'] } : null)
  })

  test('none that came are none', () => {
    expect(gateOf(SIDECAR, { ...some, claimsFrom: ['*'] }).claimsOf(request({}), null)).toBeNull()
    expect(gateOf(SIDECAR, { claimsFrom: ['*'] }).claimsOf(request({ 'x-jwt-payload': 'e30' }), null)).toBeNull()
  })
})

describe('addresses', () => {
  test('of a sidecar: loopback, what the platform says, the own interfaces', () => {
    const eth = {
      address: 'fe80::1%eth0',
      netmask: '',
      family: 'IPv6' as const,
      mac: '',
      internal: false,
      cidr: null,
      scopeid: 2,
    }
    const found = sidecarAddresses({ POD_IP: ' 10.1.2.3 ', HEDDLE_POD_IP: 'nonsense' }, { eth0: [eth] })
    expect(found).toEqual(['127.0.0.1', '::1', '127.0.0.6', '10.1.2.3', 'fe80::1'])
    const ranges = new AddressRanges(found)
    expect(ranges.has('::ffff:10.1.2.3')).toBe(true)
    expect(ranges.has('fe80::1%eth0')).toBe(true)
    expect(ranges.has('10.1.2.4')).toBe(false)
  })

  test('more addresses than are remembered change no answer', () => {
    const ranges = new AddressRanges(['10.0.0.0/16'])
    for (let i = 0; i < 5000; i++) expect(ranges.has(`10.${i % 2}.${i >> 8}.${i & 255}`)).toBe(i % 2 === 0)
    expect(ranges.has('10.0.0.1')).toBe(true)
  })
})
