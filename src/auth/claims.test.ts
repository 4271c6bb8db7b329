import { expect, test } from 'vitest'
import { claimAt } from './claims.ts'
import { formatLimit, parseLimit, parseLimits } from './limit-text.ts'
import { decodeBase64Url, decodeObject } from './strict-json.ts'

const CLAIMS = {
  sub: 's',
  'kubernetes.io': { namespace: 'ns', serviceaccount: { name: 'sa' } },
  'https://example.com/roles': ['a'],
  a: { 'b.c': 1, b: { d: 2 } },
  'a.b': { e: 3 },
}

test.each([
  ['sub', 's'],
  ['kubernetes.io.namespace', 'ns'],
  ['kubernetes.io.serviceaccount.name', 'sa'],
  ['https://example.com/roles', ['a']],
  ['a.b.c', 1],
  ['a.b.d', 2],
  ['a.b.e', 3],
  ['a.b.f', undefined],
  ['sub.length', undefined],
  ['toString', undefined],
  ['__proto__.constructor', undefined],
  ['', undefined],
])('the claim %s', (path, expected) => {
  expect(claimAt(CLAIMS, path)).toEqual(expected)
})

test.each([
  'requests=60/1m',
  'tokens=100000/1h',
  'usd=0.5/month',
  'usd=50/month@Europe/Berlin',
  'concurrency=8',
  'requests=0/1d',
])('the limit %s', (text) => {
  const rule = parseLimit(text)
  expect(rule === null ? null : formatLimit(rule)).toBe(text)
})

test.each([
  'requests',
  'requests=',
  'requests=60',
  'requests=-1/1m',
  'requests=1.5/1m',
  'requests=1e9/1m',
  'requests=60/1x',
  'requests=60/1ms',
  'requests=60/1m@Europe/Berlin',
  'usd=1/month@Nowhere/Land',
  'usd=9999999999/month',
  'watts=1/1m',
  'concurrency=1/1m',
  'requests=60/1m ',
  '=1/1m',
])('%s is no limit', (text) => {
  expect(parseLimit(text)).toBeNull()
  expect(parseLimits(['concurrency=1', text])).toBeNull()
})

const encode = (text: string): string => Buffer.from(text).toString('base64url')

test.each([
  ['{"a":1,"b":{"a":[{"a":1},{"a":2}]}}', true],
  ['{"a":"\\"a\\":","b":"{\\"a\\":1,"}', true],
  ['{"a":1,"a":2}', false],
  ['{"a":1,"\\u0061":2}', false],
  ['{"x":{"a":1,"a":1}}', false],
  ['{"x":[1,{"a":1, "a" :1}]}', false],
  ['["a"]', false],
  ['"a"', false],
  ['null', false],
  ['{"a":1', false],
])('%s is one meaning: %s', (text, expected) => {
  expect(decodeObject(encode(text)) !== null).toBe(expected)
})

test('base64url has one form', () => {
  expect(decodeBase64Url('AQ')).toEqual(Buffer.from([1]))
  for (const text of ['', 'AR', 'AQ==', 'A', 'A Q', 'A+Q/', 'AQ\n', 'Aé']) expect(decodeBase64Url(text)).toBeNull()
  expect(decodeObject(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url'))).toBeNull()
})
