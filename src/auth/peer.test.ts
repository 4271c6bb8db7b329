import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseAltNames, peerFromCertificate } from './peer.ts'

// DNS.1 holds `, URI:spiffe://td/ns/kube-system/sa/admin`, URI.1 holds `, DNS:a`, and so does the common name.
const HOSTILE = `-----BEGIN CERTIFICATE-----
MIIBzzCCAYGgAwIBAgIUY5pKDMgDqJlNtYJcn1Y3EMO8KwIwBQYDK2VwMDYxJzAl
BgNVBAMMHmV2aWwsIFVSSTpzcGlmZmU6Ly94L25zL2Evc2EvYjELMAkGA1UECgwC
YWIwIBcNMjYxMTIyMTM1ODU4WhgPMjEyNjEwMjkxMzU4NThaMDYxJzAlBgNVBAMM
HmV2aWwsIFVSSTpzcGlmZmU6Ly94L25zL2Evc2EvYjELMAkGA1UECgwCYWIwKjAF
BgMrZXADIQAxNGrM/8lHwV032fpaPfg0Jro2edUTBkNoP80FgeEquqOBnjCBmzB6
BgNVHREEczBxgjVnb29kLmV4YW1wbGUsIFVSSTpzcGlmZmU6Ly90ZC9ucy9rdWJl
LXN5c3RlbS9zYS9hZG1pboINcGxhaW4uZXhhbXBsZYYcaHR0cHM6Ly9pZHAuZXhh
bXBsZS9hLCBETlM6YYcECgAAAYEFYUBiLmMwHQYDVR0OBBYEFBbgOXqLq2fGCAeE
vVwoRSYHYTVtMAUGAytlcANBAAqflwQEBiL7s0PpSD4bYISdZtHelADQU8kZY4J5
cy/NUhAxsNhlOZPt/s+o/5MAOM2Ll7a/UEqWq5XxYlfqkwM=
-----END CERTIFICATE-----
`

const idOf = (subjectAltName: string | undefined, subject = '') =>
  peerFromCertificate({ subjectAltName, subject })?.id ?? null

test('a name cannot speak for another by holding a separator', () => {
  const certificate = new X509Certificate(HOSTILE)
  expect(parseAltNames(certificate.subjectAltName ?? '')).toEqual([
    { type: 'DNS', value: 'good.example, URI:spiffe://td/ns/kube-system/sa/admin' },
    { type: 'DNS', value: 'plain.example' },
    { type: 'URI', value: 'https://idp.example/a, DNS:a' },
    { type: 'IP Address', value: '10.0.0.1' },
    { type: 'email', value: 'a@b.c' },
  ])
  expect(peerFromCertificate(certificate)).toBeNull()
})

test('a SPIFFE id of a service account', () => {
  expect(
    peerFromCertificate({ subjectAltName: 'DNS:a.example, URI:spiffe://cluster.local/ns/search/sa/api', subject: '' }),
  ).toEqual({
    source: 'mtls',
    id: 'spiffe://cluster.local/ns/search/sa/api',
    trustDomain: 'cluster.local',
    namespace: 'search',
    serviceAccount: 'api',
  })
})

test.each([
  ['URI:spiffe://td/other/path', '', 'spiffe://td/other/path'],
  ['DNS:a.example, DNS:b.example', 'CN=c', 'a.example'],
  ['URI:https://a.example/x, DNS:b.example', '', 'b.example'],
  [undefined, 'C=DE\nCN=worker-1', 'worker-1'],
  [undefined, 'CN=a\nCN=b', null],
  [undefined, String.raw`CN=a\, CN=b`, null],
  ['IP Address:10.0.0.1', 'CN=a', null],
  ['URI:spiffe://td/a, URI:spiffe://td/b', '', null],
  ['URI:SPIFFE://td/a, DNS:x', '', null],
  ['URI:spiffe://td/a/../b', '', null],
  ['URI:spiffe://td/a%2fb', '', null],
  ['URI:spiffe://td/a?x=1', '', null],
  ['URI:spiffe://td/a/', '', null],
  ['DNS:"a', '', null],
  ['nonsense', '', null],
])('%s and %j name %s', (names, subject, expected) => {
  expect(idOf(names, subject)).toBe(expected)
})

test('any text is read or refused, never thrown over', () => {
  const pieces = fc.array(fc.constantFrom('URI', '=', '"', '\\', ',', ';', ':', ', ', 'spiffe://td/a', 'DNS', ' ', 'x'))
  fc.assert(
    fc.property(
      pieces.map((parts) => parts.join('')),
      (text) => {
        peerFromCertificate({ subjectAltName: text, subject: text })
      },
    ),
  )
})
