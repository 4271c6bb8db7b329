import { expect, test } from 'vitest'
import type { Entry } from './entry.ts'
import { packEntry, unpackEntry } from './pack.ts'

const entry: Entry = {
  id: 'i',
  key: 'k',
  partition: 'p',
  question: 'What is a heddle?',
  scope: 's',
  body: Buffer.from('{"said":"ä"}'),
  text: 'ä',
  usage: null,
  nanoUsd: 12,
  simulated: false,
  target: 't',
  model: 'm',
  tenant: '',
  principal: '',
  tags: ['a'],
  createdAt: 1,
  expiresAt: 2,
}
const vector = {
  of: 'table-3',
  vector: { values: Int8Array.from([127, -127, 0]), norm: 179.6, coverage: 0.9 },
}

test('what was packed is what it was, with its point and without', () => {
  expect(unpackEntry(packEntry(entry))).toEqual({ entry, vector: null })
  expect(unpackEntry(packEntry(entry, vector))).toEqual({ entry, vector })
})

test('what is none is none', () => {
  const bytes = packEntry(entry, vector)
  for (let length = 0; length < bytes.length - entry.body.length; length++)
    expect(unpackEntry(bytes.subarray(0, length))).toBeNull()
  const other = Buffer.from(bytes)
  other[0] = 9
  expect(unpackEntry(other)).toBeNull()
  expect(unpackEntry(packEntry({ ...entry, expiresAt: undefined as unknown as number }))).toBeNull()
})
