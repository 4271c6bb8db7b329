import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  EVENT_BAD_UTF8,
  EVENT_DONE,
  EVENT_EMPTY,
  EVENT_INVALID,
  EVENT_JSON,
  EVENT_MULTILINE,
  JsonScanner,
  SCAN_ERRORS,
} from './scanner.ts'
import { WASM_BASE64 } from './wasm.ts'

const NAMES = ['model', 'stream', 'messages', 'é']
const scanner = new JsonScanner(NAMES, ['image_url', 'input_audio'])
const scan = (text: string | Buffer, strict = true, depth?: number, keys?: number) =>
  SCAN_ERRORS[scanner.scan(Buffer.from(text as string), strict, depth, keys)]
const value = (text: string, i: number) =>
  scanner.kind(i) === 0 ? undefined : Buffer.from(text).subarray(scanner.start(i), scanner.end(i)).toString()

test('finds the places of named top-level values and of no others', () => {
  const text = ' {"a":{"model":"x"}, "model" : "gpt\\"4" ,"stream":true,"messages":[{"role":"user"}],"é":-1.5e3 } '
  expect(scan(text)).toBe('ok')
  expect(value(text, 0)).toBe('"gpt\\"4"')
  expect(value(text, 1)).toBe('true')
  expect(value(text, 2)).toBe('[{"role":"user"}]')
  expect(value(text, 3)).toBe('-1.5e3')
  expect(scanner.rootEnd).toBe(Buffer.from(text).length - 1)
  expect(scan('{"b":1}')).toBe('ok')
  expect(scanner.kind(0)).toBe(0)
})

test('accepts exactly what JSON.parse accepts', () => {
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"b\\n"',
    '"\\u00e9"',
    '"\\x"',
    '1',
    '-0',
    '01',
    '1.',
    '1e5',
    '.5',
    'true',
    'nul',
    'null',
    ' ',
    '\n',
    '\t',
    '\u0001',
    '"',
    '\\',
    '{"a":1}',
    '[]',
    '"é"',
    '-',
    '2E+1',
    'false',
  ]
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((p) => p.join('')),
        fc.json(),
        fc.string(),
      ),
      (text) => {
        let good = true
        try {
          JSON.parse(text)
        } catch {
          good = false
        }
        expect(scan(text, false) === 'ok').toBe(good)
      },
    ),
    { numRuns: 3000 },
  )
})

test('mutated valid JSON: same verdict as JSON.parse, never a throw', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), fc.nat(), fc.integer({ min: 32, max: 126 }), (text, at, code) => {
      const i = text.length === 0 ? 0 : at % text.length
      const mutated = text.slice(0, i) + String.fromCharCode(code) + text.slice(i + 1)
      let good = true
      try {
        JSON.parse(mutated)
      } catch {
        good = false
      }
      expect(scan(mutated, false) === 'ok').toBe(good)
    }),
    { numRuns: 3000 },
  )
})

test('the places hold the values that JSON.parse reads, whatever stands around them', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string()), fc.jsonValue(), { maxKeys: 40 }),
      fc.constantFrom(0, 1, 2),
      (object, indent) => {
        const text = JSON.stringify(object, null, indent)
        // Refused at every level; tested below.
        if (text.includes('"__proto__"')) return
        expect(scan(text)).toBe('ok')
        NAMES.forEach((name, i) => {
          const found = value(text, i)
          if (Object.hasOwn(object, name)) expect(JSON.parse(found!)).toEqual(JSON.parse(JSON.stringify(object[name])))
          else expect(found).toBeUndefined()
        })
      },
    ),
    { numRuns: 500 },
  )
})

test('refuses duplicate keys at any level and in any spelling, in small and big objects', () => {
  expect(scan('{"model":"a","x":1,"model":"b"}')).toBe('duplicate')
  expect(scan('{"model":"a","m\\u006fdel":"b"}')).toBe('duplicate')
  expect(scan('{"a":[{"k":1,"l":{},"k":2}]}')).toBe('duplicate')
  expect(scan('{"a":{"k":1},"b":{"k":1}}')).toBe('ok')
  expect(scan('{"model":"a","model":"b"}', false)).toBe('ok')
  for (const size of [23, 24, 25, 26, 100, 5000]) {
    const keys = Array.from({ length: size }, (_, i) => `"k${i}":{"x":1,"y":2}`)
    expect(scan(`{${keys.join(',')}}`)).toBe('ok')
    expect(scan(`{${keys.join(',')},"k${size - 1}":1}`)).toBe('duplicate')
    expect(scan(`{${keys.join(',')},"k0":1}`)).toBe('duplicate')
  }
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 3 }), { maxLength: 60 }), (keys) => {
      const text = `{${keys.map((k) => `${JSON.stringify(k)}:0`).join(',')}}`
      expect(scan(text)).toBe(
        keys.includes('__proto__') ? 'proto' : new Set(keys).size === keys.length ? 'ok' : 'duplicate',
      )
    }),
  )
})

test('refuses __proto__, also escaped, and bounds depth and keys', () => {
  expect(scan('{"a":{"__proto__":{}}}')).toBe('proto')
  expect(scan('{"a":{"__pro\\u0074o__":{}}}')).toBe('proto')
  expect(scan('{"a":"__proto__"}')).toBe('ok')
  expect(scan('['.repeat(100_000))).toBe('depth')
  expect(scan('{"a":'.repeat(64) + '1' + '}'.repeat(64), true, 64)).toBe('ok')
  expect(scan('{"a":'.repeat(65) + '1' + '}'.repeat(65), true, 64)).toBe('depth')
  expect(scan('{"a":1,"b":2,"c":3}', true, 64, 2)).toBe('keys')
})

test('notes deep keys and non-ASCII text', () => {
  scan('{"messages":[{"content":[{"type":"image_url","image_url":{}}]}]}')
  expect(scanner.deep).toBe(1)
  expect(scanner.nonAscii).toBe(false)
  scan('{"a":"grüße"}')
  expect(scanner.deep).toBe(0)
  expect(scanner.nonAscii).toBe(true)
})

test('big inputs grow the memory, and small ones afterwards still work', () => {
  const big = Buffer.from(`{"messages":"${'x'.repeat(12 << 20)}","model":"m"}`)
  expect(scanner.scan(big, true)).toBe(0)
  expect(big.subarray(scanner.start(0), scanner.end(0)).toString()).toBe('"m"')
  expect(scan('{"model":"m"}')).toBe('ok')
  expect(value('{"model":"m"}', 0)).toBe('"m"')
})

const events = (bytes: Buffer): [kind: number, data: string][] => {
  const found: [number, string][] = []
  scanner.load(bytes)
  for (let at = 0; ;) {
    const next = scanner.nextEvent(at, bytes.length)
    if (next === 0) return found
    const kind = scanner.eventKind
    found.push([kind, kind === EVENT_EMPTY ? '' : bytes.subarray(scanner.dataStart, scanner.dataEnd).toString()])
    at = next
  }
}

test('reads SSE events of every form', () => {
  expect(
    events(
      Buffer.from(
        'data: {"a":1}\n\ndata:[DONE]\r\n\r\n: ping\n\ndata: {"a":\n\nevent: x\ndata: 1\n\ndata: a\ndata: b\n\ndata: {"incomplete":1}\n',
      ),
    ),
  ).toEqual([
    [EVENT_JSON, '{"a":1}'],
    [EVENT_DONE, '[DONE]'],
    [EVENT_EMPTY, ''],
    [EVENT_INVALID, '{"a":'],
    [EVENT_JSON, '1'],
    [EVENT_MULTILINE, 'b'],
  ])
  expect(
    events(Buffer.from([...Buffer.from('data: {"a":"'), 0xe4, 0xb8, ...Buffer.from('"}\n\n')])).map((e) => e[0]),
  ).toEqual([EVENT_BAD_UTF8])
  expect(events(Buffer.from('data: {"a":"世界😀"}\n\n')).map((e) => e[0])).toEqual([EVENT_JSON])
  expect(events(Buffer.from('id: 1\nretry: 5\ndata\n\n')).map((e) => e[0])).toEqual([EVENT_INVALID])
})

test('wasm.ts is what assembly/index.ts compiles to', async () => {
  const build = (await import(new URL('./build.mjs', import.meta.url).href)) as { compile(): Promise<string> }
  expect(await build.compile()).toContain(WASM_BASE64)
})
