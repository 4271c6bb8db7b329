import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import fc from 'fast-check'
import { readSnapshot, writeSnapshot, type Kind, type Refused } from './snapshot-file.ts'

let folder = ''
let path = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-snapshot-'))
  path = join(folder, 'cache')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const MAX = 1 << 20
const SECRET = Buffer.alloc(32, 1)
const RECORDS: readonly Kind[] = [
  { kind: 1, payload: Buffer.from('one') },
  { kind: 2, payload: Buffer.alloc(0) },
  { kind: 1, payload: Buffer.alloc(300_000, 7) },
]
const write = (records: Iterable<Kind>, secret: Buffer | null = null, holds = true): Promise<number> =>
  writeSnapshot({ path, secret }, records, Date.now(), () => holds)
const read = async (secret: Buffer | null = null, max = MAX): Promise<{ refused: Refused | null; found: Kind[] }> => {
  const found: Kind[] = []
  const take = (kind: number, payload: Buffer): void => void found.push({ kind, payload: Buffer.from(payload) })
  return { refused: await readSnapshot({ path, secret }, max, take), found }
}

test('what was written is read, and nobody else may read it', async () => {
  const bytes = await write(RECORDS)
  expect(statSync(path)).toMatchObject({ size: bytes })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(await read()).toEqual({ refused: null, found: RECORDS })
  await write([])
  expect(await read()).toEqual({ refused: null, found: [] })
  expect(readdirSync(folder)).toEqual(['cache'])
})

test('altered or cut anywhere, nothing of it is read', async () => {
  await write(RECORDS.slice(0, 2), SECRET)
  const whole = readFileSync(path)
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= change
      writeFileSync(path, bytes)
      const { refused, found } = await read(SECRET)
      expect(['damaged', 'foreign', 'version']).toContain(refused?.refused)
      expect(found).toEqual([])
    }),
  )
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length))
    const { refused, found } = await read(SECRET)
    expect(['damaged', 'foreign']).toContain(refused?.refused)
    expect(found).toEqual([])
  }
})

test('why it is not read', async () => {
  expect((await read()).refused).toEqual({ refused: 'missing', code: null })
  await write(RECORDS, SECRET)
  expect((await read()).refused?.refused).toBe('damaged')
  expect((await read(Buffer.alloc(32, 2))).refused?.refused).toBe('damaged')
  expect((await read(SECRET, 100)).refused?.refused).toBe('too_large')
  expect((await read(SECRET)).refused).toBeNull()
  path = folder
  expect((await read()).refused?.refused).toBe('foreign')
})

test('what is not to be the file any more is not, and one that cannot be written leaves the old one', async () => {
  await write(RECORDS)
  expect(await write([], null, false)).toBe(0)
  expect((await read()).found).toEqual(RECORDS)
  const failing = function* (): Iterable<Kind> {
    yield RECORDS[2]!
    throw new Error('no more')
  }
  await expect(write(failing())).rejects.toThrow('no more')
  expect((await read()).found).toEqual(RECORDS)
  expect(readdirSync(folder)).toEqual(['cache'])
})

test('what a writer that died left behind goes', async () => {
  const [old, young] = [`${path}.1-a.tmp`, `${path}.2-b.tmp`]
  for (const file of [old, young]) writeFileSync(file, '')
  utimesSync(old, 0, 0)
  await write([])
  expect(readdirSync(folder).toSorted()).toEqual(['cache', 'cache.2-b.tmp'])
})
