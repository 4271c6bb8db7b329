import { expect, test } from 'vitest'
import { Revocations } from './revocations.ts'

test('revoked by the file and at run time; a reload takes back only what the file said', () => {
  const told: (readonly string[])[] = []
  const revocations = new Revocations((added) => told.push(added))
  expect(revocations.has('a')).toBe(false)
  revocations.configure(['a'])
  expect(revocations.revoke('b')).toBe(true)
  expect(revocations.revoke('b')).toBe(false)
  expect(revocations.revoke('a')).toBe(false)
  expect(told).toEqual([['b']])
  revocations.configure(['c'])
  expect(['a', 'b', 'c'].map((id) => revocations.has(id))).toEqual([false, true, true])
  expect(revocations.snapshot()).toEqual({ configured: ['c'], added: ['b'] })
})

test('what others have revoked is taken over without an echo', () => {
  const revocations = new Revocations(() => {
    throw new Error('echo')
  })
  revocations.add(['x', 'y'])
  revocations.replaceAll(['y'])
  expect([revocations.has('x'), revocations.has('y')]).toEqual([false, true])
})
