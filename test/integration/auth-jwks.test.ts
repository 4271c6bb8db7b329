// Key sets over a real socket: rotation under load, an issuer that is away, and what must not be fetched too often.
import { generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { bearer, jwtOf, NOW_S, refusalOf, setup, who } from '../../src/auth/auth-fixture.ts'

const keyPair = (kid: string) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' } }
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const tokenOf = (
  { kid, privateKey }: { kid: string; privateKey: KeyObject },
  sub: string,
  exp = NOW_S + 7200,
): string => {
  const claims = { iss: 'https://idp.example', aud: 'heddle', sub, exp }
  const text = `${part({ alg: 'ES256', kid })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** An issuer whose answer is set by hand: keys, or a status. */
const issuer = async (first: readonly object[] | number) => {
  let answer = first
  let requests = 0
  const server = createServer((req, res) => {
    requests += 1
    if (typeof answer === 'number') res.writeHead(answer).end('<html>down</html>')
    else res.end(JSON.stringify({ keys: answer }))
    expect(req.url).toBe('/keys')
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  closing.push(() => new Promise((resolve) => void server.close(resolve)))
  return {
    url: `http://127.0.0.1:${port}/keys`,
    set: (next: readonly object[] | number) => {
      answer = next
    },
    count: () => requests,
  }
}

const source = (url: string) =>
  ({ kind: 'url', url, ca: null, caFile: null, bearerFile: null, cooldownMs: 30_000, refreshMs: 600_000 }) as const

const start = (url: string) => {
  const made = setup({ jwt: [jwtOf({ jwks: source(url) })] })
  closing.push(() => made.auth.close())
  return made
}

/** Until a fetch that is under way is over: the set itself says nothing, so its event is waited for. */
const untilEvents = async (events: readonly unknown[], count: number): Promise<void> => {
  for (let i = 0; i < 500 && events.length < count; i++) await new Promise((resolve) => void setTimeout(resolve, 5))
  expect(events.length).toBeGreaterThanOrEqual(count)
}

test('keys are rotated under load, and no request fails', async () => {
  const keys = Array.from({ length: 6 }, (_, i) => keyPair(`k${i}`))
  const idp = await issuer([keys[0]?.jwk ?? {}])
  const { auth, advance, events } = start(idp.url)
  let served = 0
  for (let round = 0; round + 1 < keys.length; round++) {
    const [old, next] = [keys[round], keys[round + 1]]
    if (old === undefined || next === undefined) throw new Error('no key')
    idp.set([old.jwk, next.jwk])
    // The issuer signs with the new key at once, while tokens of the old one are still around.
    const tokens = Array.from({ length: 60 }, (_, i) => tokenOf(i % 2 === 0 ? old : next, `user-${round}-${i}`))
    const found = await Promise.all(tokens.map((token) => who(auth, bearer(token))))
    expect(found.map(({ user }) => user)).toEqual(tokens.map((_, i) => `user-${round}-${i}`))
    served += found.length
    idp.set([next.jwk])
    advance(31_000)
  }
  expect(served).toBe(300)
  // 300 requests with an unknown key among them, and one fetch a rotation beside the first.
  expect(idp.count()).toBeLessThanOrEqual(keys.length)
  expect(events.every(({ ok }) => ok)).toBe(true)
})

test('ten minutes without the issuer: known keys go on, unknown ones are refused without hammering it', async () => {
  const [known, other] = [keyPair('known'), keyPair('other')]
  const idp = await issuer([known.jwk])
  const { auth, advance, events, keySets } = start(idp.url)
  await who(auth, bearer(tokenOf(known, 'first')))
  idp.set(503)
  let failures = 0
  for (let second = 0; second < 600; second += 5) {
    advance(5000)
    keySets.tick()
    expect(await who(auth, bearer(tokenOf(known, `at-${second}`)))).toMatchObject({ user: `at-${second}` })
    if (second % 60 === 0) {
      expect(await refusalOf(() => auth.identify(bearer(tokenOf(other, 'x'))))).toContain('no key with')
      failures += 1
    }
  }
  expect(failures).toBe(10)
  // The first, one for each unknown key, and the regular one, which is tried again once a cooldown while it fails.
  expect(idp.count()).toBeLessThanOrEqual(1 + 10 + 20)
  expect(events.at(-1)).toMatchObject({ ok: false, message: expect.stringContaining('answered 503') })
  idp.set([known.jwk, other.jwk])
  advance(31_000)
  expect(await who(auth, bearer(tokenOf(other, 'back')))).toMatchObject({ user: 'back' })
})

test('it starts with the issuer down, says why tokens are refused, and takes them once it is up', async () => {
  const key = keyPair('a')
  const idp = await issuer(500)
  const { auth, advance, events, keySets } = start(idp.url)
  expect(await refusalOf(() => auth.identify(bearer(tokenOf(key, 'x'))))).toMatch(
    /no keys of idp so far: .*answered 500/,
  )
  idp.set([key.jwk])
  const before = idp.count()
  expect(await refusalOf(() => auth.identify(bearer(tokenOf(key, 'x'))))).toContain('no keys of idp so far')
  expect(idp.count()).toBe(before)
  advance(30_000)
  keySets.tick()
  await untilEvents(events, before + 1)
  expect(await who(auth, bearer(tokenOf(key, 'x')))).toMatchObject({ user: 'x' })
})

test('nobody listens there at all', async () => {
  const { auth } = start('http://127.0.0.1:1/keys')
  expect(await refusalOf(() => auth.identify(bearer(tokenOf(keyPair('a'), 'x'))))).toContain('127.0.0.1:1: ')
})

test('a key that the issuer has taken back ends the tokens that stand on it, remembered or not', async () => {
  const [stolen, good] = [keyPair('stolen'), keyPair('good')]
  const idp = await issuer([stolen.jwk, good.jwk])
  const { auth, advance, events, keySets } = start(idp.url)
  const [bad, fine] = [tokenOf(stolen, 'mallory'), tokenOf(good, 'ann')]
  await who(auth, bearer(bad))
  const ann = await who(auth, bearer(fine))
  idp.set([good.jwk])
  advance(600_000)
  keySets.tick()
  await untilEvents(events, 2)
  expect(await refusalOf(() => auth.identify(bearer(bad)))).toContain('no key with')
  // The other one is still remembered: it comes without a promise.
  expect(auth.identify(bearer(fine))).toBe(ann)
})

test('another key under the same id does not keep the old one’s tokens alive', async () => {
  const [first, second] = [keyPair('same'), keyPair('same')]
  const idp = await issuer([first.jwk])
  const { auth, advance, events, keySets } = start(idp.url)
  await who(auth, bearer(tokenOf(first, 'x')))
  idp.set([second.jwk])
  advance(600_000)
  keySets.tick()
  await untilEvents(events, 2)
  expect(await refusalOf(() => auth.identify(bearer(tokenOf(first, 'x'))))).toContain('signature verification failed')
})

test.each([
  ['an empty set', []],
  ['secrets only', [{ kty: 'oct', k: 'AAAA', kid: 'known' }]],
  ['a private key', [{ ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }), kid: 'known' }]],
])('%s does not take the place of a good one', async (_name, keys) => {
  const known = keyPair('known')
  const idp = await issuer([known.jwk])
  const { auth, advance, events, keySets } = start(idp.url)
  await who(auth, bearer(tokenOf(known, 'x')))
  idp.set(keys)
  advance(600_000)
  keySets.tick()
  await untilEvents(events, 2)
  expect(events.at(-1)).toMatchObject({ ok: false, message: 'the answer is no JWK set with public keys' })
  expect(await who(auth, bearer(tokenOf(known, 'y')))).toMatchObject({ user: 'y' })
})

test('a hundred unknown keys at once are one fetch, and none more until the cooldown is over', async () => {
  const idp = await issuer([keyPair('a').jwk])
  const { auth, advance, events } = start(idp.url)
  await untilEvents(events, 1)
  const flood = (round: number) =>
    Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        refusalOf(() => auth.identify(bearer(tokenOf(keyPair(`guess-${round}-${i}`), 'x')))),
      ),
    )
  await flood(0)
  await flood(1)
  expect(idp.count()).toBe(2)
  advance(30_000)
  await flood(2)
  expect(idp.count()).toBe(3)
})

test('a reload keeps the key set, also while the issuer is away', async () => {
  const known = keyPair('known')
  const idp = await issuer([known.jwk])
  const { auth, clock, keySets, revocations } = start(idp.url)
  await who(auth, bearer(tokenOf(known, 'x')))
  idp.set(500)
  const { createAuthenticator } = await import('../../src/auth/authenticator.ts')
  const { gateOf, NOBODY } = await import('../../src/auth/auth-fixture.ts')
  const next = createAuthenticator({ ...NOBODY, jwt: [jwtOf({ jwks: source(idp.url) })] }, [], {
    gate: gateOf({}),
    clock,
    keySets,
    revocations,
  })
  auth.close()
  expect(await who(next, bearer(tokenOf(known, 'y')))).toMatchObject({ user: 'y' })
  next.close()
  expect(idp.count()).toBe(1)
})
