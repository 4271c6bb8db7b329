import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { callerOf, SessionSealer, type Session } from './session-token.ts'

const SESSION: Session = {
  nonce: SessionSealer.nonce(),
  expiresAt: 2000,
  scope: '',
  revision: '2025-11-25',
  clientInfo: { name: 'c', version: '1' },
  capabilities: { roots: {} },
  servers: { files: { id: 'abc', revision: '2025-06-18' }, web: { id: '', revision: '2026-07-28' } },
}
const at = (secrets: readonly string[], now = 1000): SessionSealer => new SessionSealer(secrets, () => now)

test('what was sealed for a caller opens for that caller alone, until it is over', () => {
  const id = at(['a']).seal(SESSION, 'ann')!
  expect(id).toMatch(/^[A-Za-z0-9_-]+$/)
  expect(at(['a']).open(id, 'ann')).toEqual(SESSION)
  expect(at(['a']).open(id, 'bob')).toBeNull()
  expect(at(['a'], 1999).open(id, 'ann')).not.toBeNull()
  expect(at(['a'], 2000).open(id, 'ann')).toBeNull()
  expect(id).not.toContain('abc')
})

test('the first secret seals, all open', () => {
  const old = at(['old']).seal(SESSION, 'ann')!
  expect(at(['new', 'old']).open(old, 'ann')).toEqual(SESSION)
  expect(at(['new']).open(old, 'ann')).toBeNull()
  expect(at(['old']).open(at(['new', 'old']).seal(SESSION, 'ann')!, 'ann')).toBeNull()
})

test('two seals of one session differ; no change of a seal opens', () => {
  const sealer = at(['a'])
  const id = sealer.seal(SESSION, 'ann')!
  expect(sealer.seal(SESSION, 'ann')).not.toBe(id)
  fc.assert(
    fc.property(fc.nat(id.length - 1), fc.constantFrom(...'ABCxyz019-_'), (i, char) => {
      fc.pre(id[i] !== char)
      expect(sealer.open(id.slice(0, i) + char + id.slice(i + 1), 'ann')).toBeNull()
    }),
  )
})

test('nothing that comes in makes it throw', () => {
  const sealer = at(['a'])
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.base64String({ maxLength: 400 })),
      (text) => sealer.open(text, 'ann') === null,
    ),
  )
})

test('one that would not fit into a header is not sealed', () => {
  const servers = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`s${i}`, { id: 'x'.repeat(400), revision: 'r' }]),
  )
  expect(at(['a']).seal({ ...SESSION, servers }, 'ann')).toBeNull()
})

test('callers are told apart by all that makes them, and only by that', () => {
  const one = { ...ANONYMOUS, kind: 'api_key' as const, keyId: 'k', tenant: 't' }
  expect(callerOf({ ...one })).toBe(callerOf({ ...one, labels: { a: 'b' } }))
  const others = [{ keyId: 'l' }, { tenant: 'u' }, { user: 'v' }, { kind: 'jwt' as const }]
  expect(new Set([one, ...others.map((other) => ({ ...one, ...other }))].map(callerOf)).size).toBe(5)
})
