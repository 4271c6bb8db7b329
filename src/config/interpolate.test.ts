import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { interpolate, readSecretFile } from './interpolate.ts'

const source = {
  env: { KEY: 'secret', EMPTY: '', TRICKY: '${env:KEY}' },
  readFile: (path: string): string => {
    if (path === '/run/key') return 'from-file\n'
    if (path === '/etc/heddle/rel') return 'relative\r\n'
    throw Object.assign(new Error('gone'), { code: 'ENOENT' })
  },
}
const run = (text: string) => interpolate(text, '/etc/heddle', source)

test.each([
  ['plain', 'plain'],
  ['${env:KEY}', 'secret'],
  ['Bearer ${env:KEY}!', 'Bearer secret!'],
  ['${env:KEY}${env:KEY}', 'secretsecret'],
  ['${env:NOPE:-fallback}', 'fallback'],
  ['${env:EMPTY:-fallback}', 'fallback'],
  ['${env:NOPE:-}', ''],
  ['${env:NOPE:-a:-b}', 'a:-b'],
  ['${file:/run/key}', 'from-file'],
  ['${file:rel}', 'relative'],
  ['$${env:KEY}', '${env:KEY}'],
  ['a$${b', 'a${b'],
  ['$5', '$5'],
  ['$$', '$$'],
  ['${env:TRICKY}', '${env:KEY}'],
])('%s becomes %s', (text, expected) => {
  expect(run(text)).toMatchObject({ ok: true, value: expected })
})

test.each([
  ['${env:NOPE}', 'environment variable NOPE is not set'],
  ['${env:EMPTY}', 'environment variable EMPTY is empty'],
  ['${env:not a name}', 'does not name an environment variable'],
  ['${file:/nope}', 'no such file'],
  ['${KEY}', 'is neither'],
  ['${env:KEY', 'without `}`'],
])('%s is refused', (text, message) => {
  const result = run(text)
  expect(result.ok).toBe(false)
  expect(result).toHaveProperty('message', expect.stringContaining(message))
})

test('names the files it used, for the watcher, even unreadable ones', () => {
  expect(run('${file:/run/key}${file:rel}').files).toEqual(['/run/key', '/etc/heddle/rel'])
  expect(run('${file:/nope}').files).toEqual(['/nope'])
})

test('never throws, and text without `${` stays as it is', () => {
  fc.assert(fc.property(fc.string(), (text) => void run(text)))
  fc.assert(
    fc.property(
      fc.string().filter((text) => !text.includes('${')),
      (text) => {
        expect(run(text)).toMatchObject({ ok: true, value: text })
      },
    ),
  )
})

test('escaping any text brings it back', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'a', ':') }), (text) => {
      // A `$` directly before `${` cannot be told from an escape; nobody writes that.
      fc.pre(!text.includes('$${'))
      expect(run(text.replaceAll('${', () => '$${'))).toMatchObject({ ok: true, value: text })
    }),
  )
})

test('a secret file is a regular file of at most 1 MiB', () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-secret-'))
  try {
    const path = join(folder, 'key')
    writeFileSync(path, 'k\n')
    expect(readSecretFile(path)).toBe('k\n')
    expect(() => readSecretFile(folder)).toThrow('not a regular file')
    writeFileSync(path, 'x'.repeat(1024 * 1024 + 1))
    expect(() => readSecretFile(path)).toThrow('larger than 1 MiB')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
