import { expect, test } from 'vitest'
import { UpstreamPool } from './upstream-pool.ts'

const options = {
  origin: 'http://127.0.0.1:9',
  connections: 4,
  connectTimeoutMs: 100,
  tls: { ca: null, serverName: null, rejectUnauthorized: true },
}

test('equal settings share their connections, across configurations', () => {
  const pool = new UpstreamPool()
  const before = pool.acquire(options)
  const after = pool.acquire({ ...options, tls: { ...options.tls } })
  expect(after.value).toBe(before.value)
  before.release()
  expect(pool.acquire(options).value).toBe(before.value)
})

test('any other setting has its own', () => {
  const pool = new UpstreamPool()
  const first = pool.acquire(options).value
  expect(pool.acquire({ ...options, connections: 5 }).value).not.toBe(first)
  expect(pool.acquire({ ...options, tls: { ...options.tls, serverName: 'x' } }).value).not.toBe(first)
})

test('the last release closes; whoever comes later gets new ones', () => {
  const pool = new UpstreamPool()
  const one = pool.acquire(options)
  const two = pool.acquire(options)
  one.release()
  two.release()
  const fresh = pool.acquire(options)
  expect(fresh.value).not.toBe(one.value)
})
