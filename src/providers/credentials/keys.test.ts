import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { TenantConfig } from '../../contracts/config-auth.ts'
import type { CredentialsConfig } from '../../contracts/config-credentials.ts'
import type { ProviderConfig } from '../../contracts/config.ts'
import { ANOTHER, ONLY_THIS, type Credentials } from '../../contracts/credentials.ts'
import { GatewayError } from '../../core/errors.ts'
import { createCredentials, CredentialShare } from './index.ts'
import { FileKey } from './file-key.ts'

const NOW = 1000
const folder = mkdtempSync(join(tmpdir(), 'heddle-keys-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const provider = (credentials: CredentialsConfig | null, more: Partial<ProviderConfig> = {}): ProviderConfig =>
  ({ name: 'p', baseUrl: 'http://h/v1', auth: 'bearer', apiKey: null, credentials, ...more }) as ProviderConfig
const tenant = (name: string, key: string): TenantConfig =>
  ({ name, credentials: { p: key } }) as unknown as TenantConfig

const pool = (...weights: number[]): CredentialsConfig => ({
  kind: 'pool',
  keys: weights.map((weight, i) => ({ id: `key-${i + 1}`, key: `secret-${i + 1}`, weight })),
})
const quiet = { every: () => () => {} }
const create = (
  config: ProviderConfig,
  tenants: TenantConfig[] = [],
  share = new CredentialShare(quiet),
): Credentials => createCredentials(config, tenants, share, 'h')!
const thrown = (run: () => unknown): GatewayError => {
  try {
    run()
  } catch (error) {
    return GatewayError.from(error)
  }
  throw new Error('nothing was thrown')
}

test('a single key gives the same list for the same list, and never changes it', () => {
  const credentials = create(provider(null, { apiKey: 'k', auth: 'x-api-key' }))
  const base = ['accept', '*/*']
  const one = credentials.choose('', NOW, 'p/m')
  expect(one.sign(base, 'POST', '/', null)).toEqual(['accept', '*/*', 'x-api-key', 'k'])
  expect(one.sign(base, 'GET', '/x', null)).toBe(one.sign(base, 'POST', '/', null))
  expect(base).toEqual(['accept', '*/*'])
  // As ever: what happens to it happens to the target.
  expect(one.dead(NOW + 50, NOW, '')).toBe(NOW + 50)
  expect(credentials.choose('', NOW, 'p/m')).toBe(one)
})

test('no key, or auth none: nothing is sent', () => {
  const share = new CredentialShare(quiet)
  expect(createCredentials(provider(null), [], share, 'h')).toBeNull()
  expect(createCredentials(provider(null, { apiKey: 'k', auth: 'none' }), [], share, 'h')).toBeNull()
})

test('a pool spreads calls by weight, evenly in time', () => {
  const credentials = create(provider(pool(3, 1)))
  const ids = Array.from({ length: 8 }, () => credentials.choose('', NOW, 'p/m').id)
  expect(ids.filter((id) => id === 'key-1')).toHaveLength(6)
  expect(ids.slice(0, 4)).toContain('key-2')
  expect(ids.slice(4)).toContain('key-2')
})

test('a busy key rests for that target only; when all rest, the target does until the first is back', () => {
  const credentials = create(provider(pool(1, 1)))
  const first = credentials.choose('', NOW, 'p/m')
  expect(first.busy(NOW + 500, NOW, 'p/m')).toBe(ANOTHER)
  const second = credentials.choose('', NOW, 'p/m')
  expect(second.id).not.toBe(first.id)
  for (let i = 0; i < 3; i++) expect(credentials.choose('', NOW, 'p/m')).toBe(second)
  expect(new Set([0, 1].map(() => credentials.choose('', NOW, 'p/other').id)).size).toBe(2)
  expect(second.busy(NOW + 900, NOW, 'p/m')).toBe(NOW + 500)
  const error = thrown(() => credentials.choose('', NOW, 'p/m'))
  expect([error.code, error.retryAfterMs]).toEqual(['upstream_rate_limited', 500])
  expect(credentials.choose('', NOW + 500, 'p/m')).toBe(first)
})

test('a refused key rests for all targets; told apart from busy', () => {
  const credentials = create(provider(pool(1, 1)))
  const first = credentials.choose('', NOW, 'p/m')
  expect(first.dead(NOW + 5000, NOW, '')).toBe(ANOTHER)
  const second = credentials.choose('', NOW, 'p/other')
  expect(second).not.toBe(first)
  // No access to one model: the key goes on for others.
  expect(second.dead(NOW + 5000, NOW, 'p/other')).toBe(NOW + 5000)
  expect(thrown(() => credentials.choose('', NOW, 'p/other')).code).toBe('upstream_auth')
  expect(credentials.choose('', NOW, 'p/m')).toBe(second)
})

test('a tenant with a key of its own uses that and only that, and its refusal touches nobody else', () => {
  const credentials = create(provider(null, { apiKey: 'shared' }), [tenant('a', 'key-of-a'), tenant('b', 'key-of-b')])
  const a = credentials.choose('a', NOW, 'p/m')
  expect(a.sign([], 'GET', '/', null)).toEqual(['authorization', 'Bearer key-of-a'])
  expect(credentials.choose('b', NOW, 'p/m').secrets).toEqual(['key-of-b'])
  expect(credentials.choose('c', NOW, 'p/m').secrets).toEqual(['shared'])
  expect(a.dead(NOW + 5000, NOW, '')).toBe(ONLY_THIS)
  const error = thrown(() => credentials.choose('a', NOW, 'p/m'))
  expect([error.code, error.retryAfterMs]).toEqual(['upstream_auth', 5000])
  expect(JSON.stringify(error) + error.message + error.detail).not.toContain('key-of-a')
  expect(credentials.choose('b', NOW, 'p/m').id).toBe('tenant:b')
  expect(credentials.choose('', NOW, 'p/m').id).toBe('key')
})

test('nor does the trouble of the common key stop a tenant with a key of its own', () => {
  const credentials = create(provider(null, { apiKey: 'shared' }), [tenant('a', 'key-of-a')])
  const shared = credentials.choose('c', NOW, 'p/m')
  expect(shared.busy(NOW + 400, NOW, 'p/m')).toBe(ONLY_THIS)
  const error = thrown(() => credentials.choose('c', NOW, 'p/m'))
  expect([error.code, error.retryAfterMs]).toEqual(['upstream_rate_limited', 400])
  expect(credentials.choose('a', NOW, 'p/m').id).toBe('tenant:a')
  expect(credentials.choose('c', NOW + 400, 'p/m')).toBe(shared)
  expect(shared.dead(NOW + 900, NOW, '')).toBe(ONLY_THIS)
  expect(thrown(() => credentials.choose('c', NOW, 'p/other')).code).toBe('upstream_auth')
})

test('a tenant named like a property of objects has no key by accident', () => {
  const credentials = create(provider(null, { apiKey: 'shared', name: 'toString' }), [tenant('a', 'x')])
  expect(credentials.choose('a', NOW, 'm').secrets).toEqual(['shared'])
})

test('over a reload what is unchanged keeps its memory, and the last holder closes it', () => {
  const share = new CredentialShare(quiet)
  const old = create(provider(pool(1, 1)), [tenant('a', 'x')], share)
  const first = old.choose('', NOW, 'p/m')
  first.dead(NOW + 5000, NOW, '')
  const next = create(provider(pool(1, 1)), [tenant('b', 'y')], share)
  for (let i = 0; i < 4; i++) expect(next.choose('', NOW, 'p/m')).not.toBe(first)
  old.close()
  expect(share.size).toBe(2)
  next.close()
  expect(share.size).toBe(0)
})

test('a key file is read again when it changes; a bad one changes nothing', async () => {
  const path = join(folder, 'key')
  writeFileSync(path, 'first-key\n')
  const lines: string[] = []
  const share = new CredentialShare({ ...quiet, log: (_l, fields, text) => lines.push(text + JSON.stringify(fields)) })
  const key = new FileKey(path, 'bearer', share)
  expect(key.choose('', NOW, 'p/m').secrets).toEqual(['first-key'])
  expect(key.choose('', NOW, 'p/m').dead(NOW + 9000, NOW, '')).toBe(ONLY_THIS)
  expect(thrown(() => key.choose('', NOW, 'p/m')).code).toBe('upstream_auth')
  writeFileSync(path, 'second-longer-key')
  await key.look()
  expect(key.choose('', NOW, 'p/m').secrets).toEqual(['second-longer-key'])
  writeFileSync(path, 'no key\nat all')
  await key.look()
  rmSync(path)
  await key.look()
  expect(key.choose('', NOW, 'p/m').secrets).toEqual(['second-longer-key'])
  expect(lines.join()).not.toMatch(/first-key|second-longer/)
  expect(lines.filter((line) => line.startsWith('the key file'))).toHaveLength(2)
})

test('a missing key file refuses until it is there', async () => {
  const path = join(folder, 'later')
  const key = new FileKey(path, 'bearer', new CredentialShare(quiet))
  expect(thrown(() => key.choose('', NOW, 'p/m')).code).toBe('upstream_auth')
  writeFileSync(path, 'here-now')
  await key.look()
  expect(key.choose('', NOW, 'p/m').secrets).toEqual(['here-now'])
})

test('a share says when its sources have answered', async () => {
  const share = new CredentialShare(quiet)
  const source = { kind: 'static', accessKeyId: 'A', secretAccessKey: 'B', sessionToken: null } as const
  const aws = { kind: 'aws', region: 'r', service: 's', source, assumeRole: null, stsEndpoint: null } as const
  const credentials = create(provider(aws), [], share)
  expect(thrown(() => credentials.choose('', performance.now(), 'p/m')).code).toBe('upstream_unavailable')
  await share.settled()
  expect(credentials.choose('', performance.now(), 'p/m').secrets).toEqual(['A', 'B'])
  credentials.close()
})
