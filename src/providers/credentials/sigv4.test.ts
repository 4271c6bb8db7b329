import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Sigv4Credential, Sigv4Signer } from './sigv4.ts'

// Requests and signatures of AWS's published suite (aws-sig-v4-test-suite): facts.
const KEYS = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  sessionToken: null,
}
const SCOPE = { region: 'us-east-1', service: 'service' }
const at = (): number => Date.UTC(2015, 7, 30, 12, 36, 0)
const HOST = 'example.amazonaws.com'

const authorization = (list: readonly string[]): string => list[list.indexOf('authorization') + 1]!

test.each([
  [
    'get-vanilla',
    'GET',
    '/',
    '',
    [],
    'host;x-amz-date',
    '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
  ],
  [
    'get-unreserved',
    'GET',
    '/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
    '',
    [],
    'host;x-amz-date',
    '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
  ],
  [
    'get-slashes',
    'GET',
    '//example//',
    '',
    [],
    'host;x-amz-date',
    '9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84',
  ],
  [
    'get-vanilla-query-order-key-case',
    'GET',
    '/?Param2=value2&Param1=value1',
    '',
    [],
    'host;x-amz-date',
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  ],
  [
    'get-vanilla-query-order-value',
    'GET',
    '/?Param1=value2&Param1=value1',
    '',
    [],
    'host;x-amz-date',
    '5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694',
  ],
  [
    'get-vanilla-utf8-query',
    'GET',
    '/?\u1234=bar',
    '',
    [],
    'host;x-amz-date',
    '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04',
  ],
  [
    'get-header-value-order',
    'GET',
    '/',
    '',
    ['my-header1', 'value4', 'my-header1', 'value1', 'my-header1', 'value3', 'my-header1', 'value2'],
    'host;my-header1;x-amz-date',
    '08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01',
  ],
  [
    'get-header-value-trim',
    'GET',
    '/',
    '',
    ['my-header1', ' value1', 'my-header2', '"a   b   c"'],
    'host;my-header1;my-header2;x-amz-date',
    'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
  ],
  [
    'post-x-www-form-urlencoded',
    'POST',
    '/',
    'Param1=value1',
    ['content-type', 'application/x-www-form-urlencoded'],
    'content-type;host;x-amz-date',
    'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
  ],
])('AWS vector %s', (_name, method, path, body, also, signed, signature) => {
  const list = new Sigv4Signer(KEYS, SCOPE, at).sign(method, HOST, path, body, also)
  expect(list.slice(0, 2)).toEqual(['x-amz-date', '20150830T123600Z'])
  expect(authorization(list)).toBe(
    `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${signed}, Signature=${signature}`,
  )
})

test('a session token is sent and signed (AWS vector)', () => {
  const sessionToken = '6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267'
  const list = new Sigv4Signer({ ...KEYS, sessionToken }, SCOPE, at).sign('GET', HOST, '/', null)
  expect(list).toContain(sessionToken)
  expect(authorization(list)).toContain(
    'SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8',
  )
})

test('a path is encoded once more than it is sent: a colon raw and a colon encoded are two paths', () => {
  const signer = new Sigv4Signer(KEYS, { region: 'us-east-1', service: 'bedrock' }, at)
  const raw = authorization(signer.sign('POST', HOST, '/model/a.b-v1:0/invoke', '{}'))
  const encoded = authorization(signer.sign('POST', HOST, '/model/a.b-v1%3A0/invoke', '{}'))
  const other = authorization(signer.sign('POST', HOST, '/model/a.b-v1%3a0/invoke', '{}'))
  expect(new Set([raw, encoded, other]).size).toBe(3)
  // What is signed for the raw colon is what a server makes of it by encoding: %3A.
  expect(raw).toMatch(/Signature=[0-9a-f]{64}$/)
})

test('signing is a function of request and time, and never throws', () => {
  const body = fc.uint8Array({ maxLength: 64 })
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), body, (text, bytes) => {
      const sign = () => new Sigv4Signer(KEYS, SCOPE, at).sign('POST', HOST, `/${text}`, Buffer.from(bytes))
      expect(sign()).toEqual(sign())
      const changed = new Sigv4Signer(KEYS, SCOPE, at).sign('POST', HOST, `/${text}`, Buffer.from([...bytes, 1]))
      expect(authorization(changed)).not.toBe(authorization(sign()))
    }),
  )
})

test('the key follows the day', () => {
  let now = at()
  const signer = new Sigv4Signer(KEYS, SCOPE, () => now)
  signer.sign('GET', HOST, '/', null)
  now += 86_400_000
  const fresh = new Sigv4Signer(KEYS, SCOPE, () => now).sign('GET', HOST, '/', null)
  expect(signer.sign('GET', HOST, '/', null)).toEqual(fresh)
})

test('a credential leaves the list it is given as it is, and names its secrets', () => {
  const base = ['accept', '*/*']
  const credential = new Sigv4Credential({ ...KEYS, sessionToken: 'token' }, SCOPE, HOST, at)
  const list = credential.sign(base, 'POST', '/', Buffer.from('{}'))
  expect(base).toEqual(['accept', '*/*'])
  expect(list.slice(0, 2)).toEqual(base)
  expect(list).toContain('x-amz-security-token')
  expect(credential.secrets).toEqual([KEYS.accessKeyId, KEYS.secretAccessKey, 'token'])
})
