// Service-account tokens: keys behind TLS with the cluster's own certificate, asked for with a token that is replaced.
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bearer, NOW_S, refusalOf, setup, who } from '../../src/auth/auth-fixture.ts'
import { loadConfigText } from '../../src/config/index.ts'

const found = spawnSync('openssl', ['version']).status === 0
if (!found) process.stderr.write('SKIPPED: the test of service-account tokens needs the openssl program\n')

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const KEYS = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'sa', use: 'sig', alg: 'RS256' }] })

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const projected = (some: object = {}): string => {
  const claims = {
    iss: 'https://kubernetes.default.svc.cluster.local',
    aud: ['heddle'],
    sub: 'system:serviceaccount:search:api',
    exp: NOW_S + 3600,
    iat: NOW_S,
    nbf: NOW_S,
    'kubernetes.io': {
      namespace: 'search',
      serviceaccount: { name: 'api', uid: '1' },
      pod: { name: 'api-0', uid: '2' },
    },
    ...some,
  }
  const text = `${part({ alg: 'RS256', kid: 'sa' })}.${part(claims)}`
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
}

describe.skipIf(!found)('tokens of service accounts', () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-sa-'))
  const at = (name: string): string => join(folder, name)
  const asked: (string | undefined)[] = []
  let valid = 'first'
  let server: Server
  let url = ''

  beforeAll(async () => {
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
    ]
    const names = ['-subj', '/CN=cluster', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', ...key, '-days', '2', ...names], { cwd: folder, stdio: 'pipe' })
    server = createServer({ cert: readFileSync(at('ca.crt')), key: readFileSync(at('ca.key')) }, (req, res) => {
      asked.push(req.headers.authorization)
      if (req.headers.authorization === `Bearer ${valid}`) res.end(KEYS)
      else res.writeHead(401).end()
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/openid/v1/jwks`
  })

  afterAll(() => {
    server.close()
    rmSync(folder, { recursive: true })
  })

  const start = (caFile = at('ca.crt')) => {
    const text = `auth:
  kubernetes:
    { jwks_url: '${url}', ca_file: '${caFile}', token_file: '${at('token')}', roles: [workload], require: 'principal.team == "search"' }
  roles: { workload: { models: [fast] } }`
    const { auth } = loadConfigText(text, { presets: [], env: {} }).config
    if (auth === null) throw new Error('no auth')
    return setup(auth)
  }

  test('a pod is known by namespace and account', async () => {
    writeFileSync(at('token'), `${valid}\n`)
    const { auth } = start()
    const principal = await who(auth, bearer(projected()))
    expect(principal).toMatchObject({
      keyId: 'kubernetes:system:serviceaccount:search:api',
      team: 'search',
      user: 'system:serviceaccount:search:api',
      roles: ['workload'],
    })
    expect(principal.access.model('smart')?.rule).toBe('role workload: models')
    const foreign = projected({ 'kubernetes.io': { namespace: 'other' } })
    expect(await refusalOf(() => auth.identify(bearer(foreign)))).toBe('`require` of kubernetes is not true')
    const forApiServer = projected({ aud: ['https://kubernetes.default.svc'] })
    expect(await refusalOf(() => auth.identify(bearer(forApiServer)))).toContain('`aud` is none')
    auth.close()
  })

  test('Heddle’s own token is read anew for each fetch', async () => {
    const { auth, advance, keySets, events } = start()
    await who(auth, bearer(projected()))
    valid = 'second'
    writeFileSync(at('token'), valid)
    asked.length = 0
    advance(600_000)
    keySets.tick()
    await expect.poll(() => events.length).toBe(2)
    expect(events[1]).toMatchObject({ ok: true })
    expect(asked).toEqual(['Bearer second'])
    auth.close()
  })

  test('a server that the cluster has not certified is not asked, nor is the token sent to it', async () => {
    const other = join(folder, 'other.crt')
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'x.key',
      '-out',
      'other.crt',
    ]
    execFileSync('openssl', ['req', '-x509', ...key, '-days', '2', '-subj', '/CN=x'], { cwd: folder, stdio: 'pipe' })
    asked.length = 0
    const { auth } = start(other)
    expect(await refusalOf(() => auth.identify(bearer(projected())))).toMatch(/no keys of kubernetes so far: .*CERT/i)
    expect(asked).toEqual([])
    auth.close()
  })

  test('outside of a cluster it says which file is missing', async () => {
    const { auth } = start(at('none.crt'))
    expect(await refusalOf(() => auth.identify(bearer(projected())))).toContain('none.crt: ENOENT')
    auth.close()
  })
})
