import { expect, test } from 'vitest'
import type { FetchedAnswer } from '../core/http-client.ts'
import { askMesh, detectMesh, meshPorts } from './detect.ts'

const IN_CLUSTER = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
const answer = (status: number, body = ''): FetchedAnswer => ({ status, body, headers: {} })

/** A pod in which these URLs answer; time passes only while nobody is found. */
const pod = (urls: Record<string, FetchedAnswer | (() => FetchedAnswer)>) => {
  let time = 0
  const asked: string[] = []
  return {
    asked,
    get time() {
      return time
    },
    options: {
      env: IN_CLUSTER,
      timeoutMs: 2000,
      now: () => time,
      pause: (ms: number) => {
        time += ms
        return Promise.resolve()
      },
      fetchSmall: (url: string) => {
        asked.push(url)
        const there = urls[url]
        if (there === undefined) return Promise.reject(new Error('ECONNREFUSED'))
        return Promise.resolve(typeof there === 'function' ? there() : there)
      },
    },
  }
}

test('outside of Kubernetes nobody is asked', async () => {
  const { options, asked } = pod({ 'http://127.0.0.1:15021/healthz/ready': answer(200) })
  expect(await detectMesh({ ...options, env: {} })).toMatchObject({ kind: 'none', proxy: null, ready: false })
  expect(asked).toEqual([])
})

test('Istio, ready, with its version', async () => {
  const { options } = pod({
    'http://127.0.0.1:15021/healthz/ready': answer(200),
    'http://127.0.0.1:15000/server_info': answer(200, '{"node":{"metadata":{"ISTIO_VERSION":"1.30.1"}}}'),
  })
  expect(await detectMesh(options)).toEqual({
    kind: 'istio',
    proxy: 'istio',
    ready: true,
    expected: true,
    version: '1.30.1',
  })
})

test('Linkerd, ready, with its version', async () => {
  const { options } = pod({
    'http://127.0.0.1:4191/ready': answer(200, 'ready\n'),
    'http://127.0.0.1:4191/metrics': answer(200, '# HELP x\nproxy_build_info{git_sha="a",version="2.330.0"} 1\n'),
  })
  expect(await detectMesh(options)).toEqual({
    kind: 'linkerd',
    proxy: 'linkerd',
    ready: true,
    expected: true,
    version: '2.330.0',
  })
})

test('a proxy that starts is found, and is not ready', async () => {
  const state = { asked: 0 }
  const { options } = pod({
    'http://127.0.0.1:4191/ready': () => {
      if (++state.asked < 4) throw new Error('ECONNREFUSED')
      return answer(503, 'not ready\n')
    },
  })
  expect(await detectMesh(options)).toEqual({
    kind: 'linkerd',
    proxy: 'linkerd',
    ready: false,
    expected: true,
    version: '',
  })
})

test('in a cluster without a mesh the look ends in time', async () => {
  const own = pod({ 'http://127.0.0.1:15021/healthz/ready': answer(404) })
  expect((await detectMesh(own.options)).kind).toBe('none')
  expect(own.time).toBeGreaterThan(1500)
  expect(own.time).toBeLessThan(2000)
})

test('a mesh that is configured is asked wherever the process runs; ambient has nobody to ask', async () => {
  const { options, asked } = pod({ 'http://127.0.0.1:15021/healthz/ready': answer(503) })
  expect(await askMesh('istio', { ...options, env: {} })).toMatchObject({ kind: 'istio', ready: false })
  // Nobody there: outside of a cluster nobody will come.
  expect(await askMesh('linkerd', { ...options, env: {} })).toMatchObject({ ready: false, expected: false })
  expect(await askMesh('linkerd', options)).toMatchObject({ kind: 'linkerd', ready: false, expected: true })
  asked.length = 0
  expect(await askMesh('istio-ambient', { ...options, env: {} })).toMatchObject({ proxy: null, ready: true })
  expect(asked).toEqual([])
})

test('ports come from the environment; nonsense there changes nothing', () => {
  expect(meshPorts({ HEDDLE_MESH_ISTIO_STATUS_PORT: '2', HEDDLE_MESH_LINKERD_ADMIN_PORT: '70000' })).toMatchObject({
    istioStatus: 2,
    linkerdAdmin: 4191,
  })
})
