import { expect, test } from 'vitest'
import { meshPorts } from './detect.ts'
import { waitForProxy } from './wait.ts'

const ports = meshPorts({})
const rig = (stateAt: (time: number) => number | null) => {
  let time = 0
  return {
    now: () => time,
    pause: (ms: number) => {
      time += ms
      return Promise.resolve()
    },
    fetchSmall: () => {
      const status = stateAt(time)
      if (status === null) return Promise.reject(new Error('ECONNREFUSED'))
      return Promise.resolve({ status, headers: {}, body: '' })
    },
  }
}

test('the wait ends within 100 ms of the proxy being ready, whatever it said before', async () => {
  const own = rig((time) => (time < 3000 ? null : time < 8000 ? 503 : 200))
  expect(await waitForProxy({ proxy: 'istio', ports, maxMs: 60_000, ...own })).toBe('ready')
  expect(own.now()).toBeGreaterThanOrEqual(8000)
  expect(own.now()).toBeLessThanOrEqual(8100)
})

test('no longer than asked, and the last state is told', async () => {
  const own = rig(() => 503)
  expect(await waitForProxy({ proxy: 'linkerd', ports, maxMs: 5000, ...own })).toBe('starting')
  expect(own.now()).toBeLessThanOrEqual(5000)
  const nobody = rig(() => null)
  expect(await waitForProxy({ proxy: 'linkerd', ports, maxMs: 0, ...nobody })).toBe('absent')
  expect(nobody.now()).toBe(0)
})

test('whoever stops need not wait for the end', async () => {
  const own = rig(() => 503)
  await waitForProxy({ proxy: 'istio', ports, maxMs: 60_000, stopped: () => own.now() >= 200, ...own })
  expect(own.now()).toBe(200)
})
