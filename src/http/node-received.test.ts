import type { IncomingMessage } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { duplicateHeader, NodeReceived } from './node-received.ts'

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
