import { randomBytes } from 'node:crypto'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, expect, test } from 'vitest'
import type { BlobStore } from '../contracts/blobs.ts'
import { blobKey } from './blob-key.ts'
import { MemoryBlobs } from './blobs-memory.ts'
import { PortBlobs, serveBlobs } from './blobs-port.ts'
import { SealedBlobs } from './blobs-sealed.ts'

let now = 1000
const clock = { now: () => now, monotonic: () => now }
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const text = (value: Uint8Array | null): string | null => (value === null ? null : Buffer.from(value).toString())
const KEY = randomBytes(32).toString('base64')

const close: (() => void)[] = []
afterEach(() => {
  for (const one of close.splice(0)) one()
})

function memory(maxBytes = 1_000_000): MemoryBlobs {
  const store = new MemoryBlobs(maxBytes, clock)
  close.push(() => store.close())
  return store
}

function overPort(inner: () => BlobStore | null): PortBlobs {
  const { port1, port2 } = new MessageChannel()
  serveBlobs(port1, inner)
  close.push(() => port1.close())
  return new PortBlobs(port2)
}

const STORES: Readonly<Record<string, () => BlobStore>> = {
  memory: () => memory(),
  'over a port': () => {
    const inner = memory()
    return overPort(() => inner)
  },
  sealed: () => new SealedBlobs(memory(), [KEY]),
}

for (const [name, make] of Object.entries(STORES)) {
  test(`${name}: what is put is there until its time is over or it is deleted`, async () => {
    const store = make()
    expect(await store.get('a', 0)).toBeNull()
    await store.put('a', bytes('first'), 100)
    await store.put('a', bytes('second'), 100)
    expect(text(await store.get('a', 0))).toBe('second')
    now += 60
    // Touched: the whole time again.
    expect(text(await store.get('a', 100))).toBe('second')
    now += 60
    expect(text(await store.get('a', 0))).toBe('second')
    now += 60
    expect(await store.get('a', 0)).toBeNull()
    expect(await store.delete('a')).toBe(false)
    await store.put('a', bytes('third'), 100)
    expect(await store.delete('a')).toBe(true)
    expect(await store.get('a', 0)).toBeNull()
  })

  test(`${name}: only the first claims a place, until it is free again`, async () => {
    const store = make()
    expect(await Promise.all([1, 2, 3].map((i) => store.claim('a', bytes(String(i)), 100)))).toEqual([
      true,
      false,
      false,
    ])
    expect(text(await store.get('a', 0))).toBe('1')
    now += 150
    expect(await store.claim('a', bytes('4'), 100)).toBe(true)
  })

  test(`${name}: lists hold what was noted, and each entry its own time`, async () => {
    const store = make()
    await store.note('list', 'x', bytes('1'), 100)
    await store.note('list', 'y', bytes('2'), 1000)
    await store.note('list', 'x', bytes('3'), 100)
    expect((await store.notes('list')).map((value) => String(text(value))).sort()).toEqual(['2', '3'])
    await store.forget('list', 'x')
    await store.forget('list', 'none')
    expect((await store.notes('list')).map(text)).toEqual(['2'])
    now += 2000
    expect(await store.notes('list')).toEqual([])
    expect(await store.notes('other')).toEqual([])
  })
}

test('memory holds no more bytes than it may: what was used longest ago goes first', async () => {
  const store = memory(10_000)
  const value = new Uint8Array(2000)
  for (const key of ['a', 'b', 'c', 'd']) await store.put(key, value, 1e6)
  await store.get('a', 0)
  await store.put('e', value, 1e6)
  expect(store.bytes).toBeLessThanOrEqual(10_000)
  expect(await store.get('b', 0)).toBeNull()
  expect(await store.get('a', 0)).not.toBeNull()
  await expect(store.put('f', new Uint8Array(10_001), 1e6)).rejects.toMatchObject({ fault: 'size' })
  store.resize(5000)
  expect(store.bytes).toBeLessThanOrEqual(5000)
  expect(await store.get('e', 0)).not.toBeNull()
})

test('what is over takes no room after a while', async () => {
  const store = memory()
  await store.put('a', new Uint8Array(1000), 50)
  await store.note('list', 'x', bytes('1'), 50)
  now += 100
  store.purge()
  expect(store.size).toBe(0)
  expect(store.bytes).toBe(0)
})

test('a store that is off, or gone, is said to be away', async () => {
  await expect(overPort(() => null).get('a', 0)).rejects.toMatchObject({ fault: 'away' })
  const gone = overPort(() => memory())
  const asked = gone.get('a', 0)
  gone.close()
  await expect(asked).rejects.toMatchObject({ fault: 'away' })
})

test('a message holds the bytes of the value, not of the memory that it is a part of', async () => {
  const inner = memory()
  const store = overPort(() => inner)
  await store.put('a', Buffer.from('few').subarray(0, 2), 100)
  expect((await inner.get('a', 0))!.buffer.byteLength).toBe(2)
})

test('sealed values show nothing, and are of no use elsewhere', async () => {
  const inner = memory()
  const store = new SealedBlobs(inner, [KEY])
  await store.put('a', bytes('a secret'), 1000)
  const sealed = (await inner.get('a', 0))!
  expect(Buffer.from(sealed).includes('secret')).toBe(false)
  await store.put('b', bytes('a secret'), 1000)
  expect(await inner.get('b', 0)).not.toEqual(sealed)
  // Moved to another place, changed, or cut.
  await inner.put('c', sealed, 1000)
  await expect(store.get('c', 0)).rejects.toMatchObject({ fault: 'broken' })
  const changed = new Uint8Array(sealed)
  changed[changed.length - 20]! ^= 1
  await inner.put('a', changed, 1000)
  await expect(store.get('a', 0)).rejects.toMatchObject({ fault: 'broken' })
  await inner.put('a', sealed.subarray(0, 10), 1000)
  await expect(store.get('a', 0)).rejects.toMatchObject({ fault: 'broken' })
})

test('keys are changed without losing what is kept', async () => {
  const inner = memory()
  await new SealedBlobs(inner, [KEY]).put('a', bytes('old'), 1000)
  const next = randomBytes(32).toString('base64')
  const both = new SealedBlobs(inner, [next, KEY])
  expect(text(await both.get('a', 0))).toBe('old')
  await both.put('b', bytes('new'), 1000)
  await expect(new SealedBlobs(inner, [KEY]).get('b', 0)).rejects.toMatchObject({ fault: 'broken' })
  expect(text(await new SealedBlobs(inner, [next]).get('b', 0))).toBe('new')
})

test('a list shows what can be read of it', async () => {
  const inner = memory()
  await new SealedBlobs(inner, [KEY]).note('list', 'x', bytes('1'), 1000)
  const next = new SealedBlobs(inner, [randomBytes(32).toString('base64')])
  await next.note('list', 'y', bytes('2'), 1000)
  expect((await next.notes('list')).map((value) => text(value))).toEqual(['2'])
})

test('no two callers can be made to look the same', () => {
  const owner = { kind: 'api_key', tenant: 'a', keyId: 'b' } as const
  const keys = [
    blobKey('response', owner, 'c'),
    blobKey('file', owner, 'c'),
    blobKey('response', { ...owner, tenant: 'a","b', keyId: '' }, 'c'),
    blobKey('response', { ...owner, tenant: '', keyId: 'ab' }, 'c'),
    blobKey('response', { ...owner, kind: 'signed_key' }, 'c'),
    blobKey('response', owner, 'b","c'),
  ]
  expect(new Set(keys).size).toBe(keys.length)
  expect(blobKey('response', { ...owner }, 'c')).toBe(keys[0])
})
