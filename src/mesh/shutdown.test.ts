import { expect, test } from 'vitest'
import { meshPorts } from './detect.ts'
import { endProxy } from './shutdown.ts'

const ports = meshPorts({})

const pod = (obeys: string) => {
  const asked: string[] = []
  return {
    asked,
    fetchSmall: (url: string, { method = 'GET' } = {}) => {
      asked.push(`${method} ${url}`)
      return url === obeys
        ? Promise.resolve({ status: 200, headers: {}, body: '' })
        : Promise.reject(new Error('ECONNREFUSED'))
    },
  }
}

const ISTIO = 'http://127.0.0.1:15020/quitquitquit'
const LINKERD = 'http://127.0.0.1:4191/shutdown'

test.each([
  ['istio', ISTIO, 'istio', [ISTIO]],
  ['linkerd', LINKERD, 'linkerd', [LINKERD]],
  ['auto', LINKERD, 'linkerd', [ISTIO, LINKERD]],
  ['auto', '', null, [ISTIO, LINKERD]],
  ['istio', LINKERD, null, [ISTIO]],
  ['none', ISTIO, null, []],
  ['istio-ambient', ISTIO, null, []],
] as const)('%s, where %j obeys: %s', async (kind, obeys, ended, urls) => {
  const { asked, fetchSmall } = pod(obeys)
  expect(await endProxy({ kind, ports, fetchSmall })).toBe(ended)
  expect(asked).toEqual(urls.map((url) => `POST ${url}`))
})

test('a proxy that does not allow it has not been ended', async () => {
  const fetchSmall = () => Promise.resolve({ status: 404, headers: {}, body: '' })
  expect(await endProxy({ kind: 'auto', ports, fetchSmall })).toBeNull()
})
