import { expect, test } from 'vitest'
import { Revocations } from './revocations.ts'

test('what was revoked at run time outlives configurations; what they say is listed while they are in use', () => {
  const revocations = new Revocations()
  const first = revocations.configure(['a'])
  revocations.revoke('b')
  revocations.revoke('a')
  const second = revocations.configure(['c'])
  expect(revocations.snapshot()).toEqual({ configured: ['c'], added: ['a', 'b'] })
  // The newer one was refused after all.
  second()
  second()
  expect(revocations.snapshot().configured).toEqual(['a'])
  first()
  expect(revocations.snapshot()).toEqual({ configured: [], added: ['a', 'b'] })
  expect(['a', 'b', 'c'].map((id) => revocations.has(id))).toEqual([true, true, false])
  revocations.restore('a')
  expect(revocations.has('a')).toBe(false)
})

test('what others have revoked is taken over', () => {
  const revocations = new Revocations()
  revocations.revoke('x')
  revocations.replaceAll(['y'])
  expect([revocations.has('x'), revocations.has('y')]).toEqual([false, true])
})
