import { afterEach, expect, test } from 'vitest'
import type { Entry } from './entry.ts'
import { systemClock } from '../core/clock.ts'
import { SharedStore } from './shared.ts'

const open: SharedStore[] = []
afterEach(() => {
  for (const store of open.splice(0)) store.close()
})

let names = 0
const storeOf = (worker: number, name = `test-${names}`): SharedStore => {
  const store = new SharedStore({
    name,
    maxBytes: 1 << 20,
    maxEntryBytes: 1 << 16,
    workers: 3,
    worker,
    clock: systemClock,
    semantic: null,
  })
  open.push(store)
  return store
}
const entry = (key: string, model = 'm'): Entry => ({
  id: `id-${key}`,
  key,
  partition: 'p',
  question: null,
  scope: '',
  body: Buffer.from(`body of ${key}`),
  text: key,
  usage: null,
  nanoUsd: 0,
  simulated: false,
  target: 't',
  model,
  tenant: '',
  principal: '',
  tags: [],
  createdAt: 1,
  expiresAt: Infinity,
})
const keysOf = ({ memory }: SharedStore): string[] => Array.from(memory.all(), ({ key }) => key)

test('a worker that begins is given what the first has, in its order, and the bodies are there once', async () => {
  names++
  const first = storeOf(0)
  for (let n = 0; n < 200; n++) first.restore({ entry: entry(`k${n}`), vector: null })
  const [second, third] = [storeOf(1), storeOf(2)]
  const inherited = [second.inherit(5000), third.inherit(5000)]
  first.give()
  expect(await Promise.all(inherited)).toEqual([true, true])
  expect(keysOf(second)).toEqual(keysOf(first))
  expect(keysOf(third)).toEqual(keysOf(first))
  const [body, own] = [second, first].map(({ memory }) => memory.peek('k7')!.body)
  expect(body!.toString()).toBe('body of k7')
  own![0] = 0x42
  expect(body!.toString()).toBe('Body of k7')
})

test('one that begins later is given it too, and what it has itself stays', async () => {
  names++
  const first = storeOf(0)
  first.restore({ entry: entry('a'), vector: null })
  first.restore({ entry: entry('b'), vector: null })
  first.give()
  const late = storeOf(1)
  late.restore({ entry: { ...entry('a'), text: 'younger' }, vector: null })
  expect(await late.inherit(5000)).toBe(true)
  expect(keysOf(late).toSorted()).toEqual(['a', 'b'])
  expect(late.memory.peek('a')!.text).toBe('younger')
})

test('what is purged meanwhile is not given', async () => {
  names++
  const [first, second, third] = [storeOf(0), storeOf(1), storeOf(2)]
  for (let n = 0; n < 100; n++) first.restore({ entry: entry(`k${n}`, n % 2 === 0 ? 'gone' : 'm'), vector: null })
  const inherited = second.inherit(5000)
  third.purge({ model: 'gone' })
  first.give()
  expect(await inherited).toBe(true)
  expect(keysOf(second)).toHaveLength(50)
})

test('who is given nothing goes on', async () => {
  names++
  storeOf(0)
  expect(await storeOf(1).inherit(250)).toBe(false)
})
