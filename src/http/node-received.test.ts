import type { IncomingMessage } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { VisibleHeaders } from '../mesh/identity/visible.ts'
import { duplicateHeader } from '../pipeline/raw-received.ts'
import { NodeReceived } from './node-received.ts'

const received = (url: string, rawHeaders: string[] = []): NodeReceived =>
  new NodeReceived({ url, method: 'GET', rawHeaders, headers: {}, socket: {} } as unknown as IncomingMessage, 0)

describe('path and query', () => {
  test.each([
    ['/v1/models', '/v1/models', ''],
    ['/v1/files?a=b?c', '/v1/files', '?a=b?c'],
    ['/?', '/', '?'],
    ['http://evil.example/v1/models?x=1', '/v1/models', '?x=1'],
    ['HTTPS://user:pw@evil.example:8443/v1', '/v1', ''],
    ['http://evil.example', '/', ''],
    ['http://evil.example?x=1', '/', '?x=1'],
    ['http:///v1', '/v1', ''],
    ['*', '*', ''],
    ['evil.example:443', 'evil.example:443', ''],
    ['ftp://evil.example/v1', 'ftp://evil.example/v1', ''],
  ])('%s', (url, path, query) => {
    const r = received(url)
    expect([r.path, r.query]).toEqual([path, query])
  })

  test('whatever an absolute target names as host, the path is what follows it', () => {
    fc.assert(
      fc.property(fc.domain(), fc.webPath({ size: 'small' }), (host, path) => {
        expect(received(`http://${host}/${path.replace(/^\/+/, '')}`).path).toBe(`/${path.replace(/^\/+/, '')}`)
      }),
    )
  })
})

describe('headers', () => {
  test('are found by their lower-case name, the first of several', () => {
    const r = received('/', ['X-Request-ID', 'a', 'x-request-id', 'b', 'x-other', 'c'])
    expect(r.header('x-request-id')).toBe('a')
    expect(r.header('x-other')).toBe('c')
    expect(r.header('x-none')).toBeUndefined()
  })

  test('that speak of callers are seen through their own door alone', () => {
    const raw = ['X-Forwarded-Client-Cert', 'URI=a', 'x-mine', '1', 'x-forwarded-client-cert', 'URI=b', 'x-claim', 'c']
    const r = received('/', raw)
    expect(r.header('x-forwarded-client-cert')).toBeUndefined()
    expect(r.identityHeader('x-forwarded-client-cert')).toBe('URI=a\nURI=b')
    expect(r.identityHeader('x-mine')).toBe('1')
    expect(r.identityHeader('x-none')).toBeUndefined()
    expect(r.header('x-claim')).toBe('c')
    // A configuration that came while the body did has other rules.
    r.gate = new VisibleHeaders({ header: 'x-mine', payloadHeader: 'x-claim', claimHeaders: {} }, () => true)
    expect([r.header('x-mine'), r.header('x-claim')]).toEqual([undefined, undefined])
  })

  test('of a proxy are seen when it is the own one', () => {
    const gate = new VisibleHeaders(
      { header: 'x-forwarded-client-cert', payloadHeader: null, claimHeaders: {} },
      ({ peer }) => peer === '127.0.0.6',
    )
    const message = (remoteAddress: string) => {
      const headers = { 'x-envoy-attempt-count': '1', 'x-forwarded-client-cert': 'a', 'x-mine': '1' }
      const rawHeaders = Object.entries(headers).flat()
      return { url: '/', method: 'GET', rawHeaders, headers, socket: { remoteAddress } } as unknown as IncomingMessage
    }
    const own = new NodeReceived(message('127.0.0.6'), 0, gate)
    const other = new NodeReceived(message('10.0.0.1'), 0, gate)
    expect(own.header('x-envoy-attempt-count')).toBe('1')
    expect(other.header('x-envoy-attempt-count')).toBeUndefined()
    expect(Object.keys(own.headers())).toEqual(['x-envoy-attempt-count', 'x-mine'])
    expect(Object.keys(other.headers())).toEqual(['x-mine'])
  })

  test.each(['Host', 'content-type', 'CONTENT-ENCODING', 'Authorization', 'X-Request-Id'])(
    '%s may stand once',
    (name) => {
      expect(duplicateHeader(['accept', '*/*', name, 'a', 'accept', 'x/y'])).toBeNull()
      expect(duplicateHeader([name.toLowerCase(), 'a', 'accept', 'x', name.toUpperCase(), 'a'])).toBe(
        name.toLowerCase(),
      )
    },
  )

  test('others may repeat, and a value is no name', () => {
    expect(duplicateHeader(['accept', 'host', 'accept', 'host', 'x-a', 'host', 'host', 'x'])).toBeNull()
  })
})
