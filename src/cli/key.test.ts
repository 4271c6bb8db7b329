import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { hashKey } from '../config/auth-keys.ts'
import { parseArgs, UsageError } from './command.ts'
import { COMMANDS } from './commands.ts'
import { keyCommand } from './key.ts'

const spec = COMMANDS.key

const folder = mkdtempSync(join(tmpdir(), 'heddle-key-'))
afterAll(() => rmSync(folder, { recursive: true }))

const run = async (argv: readonly string[], stdin = '') => {
  let [out, err] = ['', '']
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    env: {},
    cwd: folder,
    exists: () => false,
    read: (path: string) => (path === '-' ? stdin : readFileSync(path, 'utf8')),
  }
  const code = await keyCommand(parseArgs(spec, argv), io)
  return { code, out, err }
}

const config = await run(['keygen', '--name', 'hq', '--out', 'hq.key']).then(({ out }) => out)
const SAMPLE = `# who may call\nproviders: { p: { type: sim } }\n${config}`
writeFileSync(join(folder, 'heddle.yaml'), SAMPLE)

const mint = async (...argv: readonly string[]) => (await run(['mint', '--issuer-key', 'hq.key', ...argv])).out.trim()

test('keygen writes a private key that only its owner reads, once, and prints none of it', async () => {
  const path = join(folder, 'hq.key')
  const text = readFileSync(path, 'utf8')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(config).not.toContain((JSON.parse(text) as { d: string }).d)
  await expect(run(['keygen', '--name', 'hq', '--out', 'hq.key'])).rejects.toThrow('is there already')
  expect(readFileSync(path, 'utf8')).toBe(text)
})

test('a minted key says what it may do, checked with the configuration that keygen printed', async () => {
  const limits = 'requests=60/1m,usd=50/month@Europe/Berlin,concurrency=8'
  const token = await mint(
    '--id',
    'k1',
    '--models',
    'fast,gpt-*',
    '--expires',
    '30d',
    '--limit',
    limits,
    '--no-retention',
  )
  expect(token).toMatch(/^hk_[\w-]+\.[\w-]+\.[\w-]{86}$/)
  const shown = await run(['inspect', token, '--config', 'heddle.yaml'])
  expect(shown.code).toBe(0)
  expect(shown.out).toMatch(/^key +hq\/k1\nstate +valid\n/)
  expect(shown.out).toMatch(/models +fast, gpt-\*\n/)
  expect(shown.out).toContain(limits.replaceAll(',', ', '))
  expect((await run(['inspect', '-'], `${token}\n`)).out).toContain('signature not checked')
  const json = await run(['inspect', token, '--json', '-c', 'heddle.yaml'])
  expect(JSON.parse(json.out)).toMatchObject({ issuer: 'hq', id: 'k1', verified: true, grant: { noRetention: true } })
})

test('inspect tells a forged key from a good one', async () => {
  await run(['keygen', '--name', 'hq', '--out', 'other.key'])
  const { out } = await run(['mint', '--issuer-key', 'other.key'])
  const shown = await run(['inspect', out.trim(), '--config', 'heddle.yaml'])
  expect(shown).toMatchObject({ code: 1, out: expect.stringContaining('NOT VALID: the signature does not fit') })
  expect((await run(['inspect', 'hk_nonsense'])).code).toBe(1)
})

test('revoke adds the id to the file, keeps what else is in it, and does so once', async () => {
  const token = await mint('--id', 'gone')
  const first = await run(['revoke', 'hq/gone', '--config', 'heddle.yaml'])
  expect(first).toMatchObject({ code: 0, out: expect.stringContaining('hq/gone is revoked in') })
  const text = readFileSync(join(folder, 'heddle.yaml'), 'utf8')
  expect(text).toContain('# who may call\n')
  expect((await run(['inspect', token, '-c', 'heddle.yaml'])).out).toContain('NOT VALID: revoked')
  expect((await run(['revoke', 'hq/gone', '-c', 'heddle.yaml'])).out).toContain('already')
  await run(['revoke', 'hq/second', '-c', folder])
  expect(readFileSync(join(folder, 'heddle.yaml'), 'utf8')).toMatch(/revoked:\s+- hq\/gone\s+- hq\/second/)
})

test('revoke at a gateway that is not there says what to do instead', async () => {
  const { code, err } = await run(['revoke', 'hq/x', '--admin', 'http://127.0.0.1:1'])
  expect(code).toBe(1)
  expect(err).toContain('still valid')
  expect(err).toContain('heddle key revoke hq/x --config')
})

test('a static key and its hash belong together', async () => {
  const { out } = await run(['new', '--json'])
  const made = JSON.parse(out) as { key: string; hash: string }
  expect(made.key).toMatch(/^hs_[\w-]{43}$/)
  expect(made.hash).toBe(`sha256:${hashKey(made.key)}`)
  expect((await run(['hash'], `${made.key}\n`)).out).toBe(`hash: ${made.hash}\n`)
  const weak = await run(['hash'], 'hunter2\n')
  expect(weak).toMatchObject({ code: 1, out: '', err: expect.stringContaining('shorter than 16') })
  expect(weak.err).not.toContain('hunter2')
})

test.each([
  [[], 'which action?'],
  [['forge'], 'which action?'],
  [['mint'], '`--issuer-key` is missing'],
  [['mint', '--issuer-key', 'none'], 'none cannot be read'],
  [['mint', '--issuer-key', 'hq.key', '--expires', 'soon'], '`--expires` must be'],
  [['mint', '--issuer-key', 'hq.key', '--expires', '2020-01-01'], 'in the past'],
  [['mint', '--issuer-key', 'hq.key', '--expires', '99999d'], 'more than 3650 days'],
  [['mint', '--issuer-key', 'hq.key', '--limit', 'requests=60'], 'is no limit'],
  [['mint', '--issuer-key', 'hq.key', '--operations', 'paint'], 'member `operations`'],
  [['mint', '--issuer-key', 'hq.key', '--id', 'a/b'], 'member `id`'],
  [['mint', '--issuer-key', 'heddle.yaml', '--name', 'hq'], 'neither a private JWK nor PEM'],
  [['inspect'], 'which key?'],
  [['revoke', 'hq/x'], 'where?'],
  [['revoke', 'x', '-c', 'heddle.yaml'], 'ISSUER/ID'],
  [['new', 'x'], 'unexpected argument'],
])('%j is wrong usage', async (argv, message) => {
  const error: unknown = await run(argv).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(UsageError)
  expect(String(error)).toContain(message)
})
