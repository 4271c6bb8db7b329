// By what answers are found: all that could change one is in it.
import { expect, test } from 'vitest'
import fc from 'fast-check'
import type { Json, JsonObject } from '../contracts/canonical.ts'
import { keyOf, type CacheKey } from './key.ts'

const WHERE = ['["tenant","","a"]', 'm', '/v1/chat/completions', '', '', 'm', 'p/m m http://x/v1']
const turn = (content: Json, role = 'user'): JsonObject => ({ role, content })
const chat = (fields: JsonObject = {}): JsonObject => ({
  model: 'm',
  messages: [turn('Be brief.', 'system'), turn('What is a heddle?')],
  ...fields,
})
const of = (sent: JsonObject, where: readonly string[] = WHERE): CacheKey => keyOf(where, 'chat', sent)

test('the question is compared within all the rest', () => {
  const one = of(chat())
  const other = of(chat({ messages: [turn('Be brief.', 'system'), turn('What is a loom?')] }))
  expect(other.partition).toBe(one.partition)
  expect(other.exact).not.toBe(one.exact)
  expect([one.question, other.question]).toEqual(['What is a heddle?', 'What is a loom?'])
})

test('what is not one text is never compared', () => {
  const picture = { type: 'image_url', image_url: { url: 'data:' } }
  const text = { type: 'text', text: 'What is this?' }
  expect(of(chat({ messages: [turn([text])] })).question).toBe('What is this?')
  expect(of(chat({ messages: [turn([text, picture])] })).question).toBeNull()
  expect(of(chat({ messages: [turn('x', 'assistant')] })).question).toBeNull()
  expect(of(chat({ messages: [turn('x', 'tool')] })).question).toBeNull()
  expect(of(chat({ messages: [] })).question).toBeNull()
})

test('each dialect says its question elsewhere', () => {
  const question = (operation: Parameters<typeof keyOf>[1], sent: JsonObject) => keyOf([], operation, sent).question
  expect(question('messages', { messages: [turn([{ type: 'text', text: 'q' }])] })).toBe('q')
  expect(question('generate_content', { contents: [{ parts: [{ text: 'q' }] }] })).toBe('q')
  expect(question('generate_content', { contents: [{ role: 'model', parts: [{ text: 'q' }] }] })).toBeNull()
  expect(question('responses', { input: 'q' })).toBe('q')
  expect(question('responses', { input: [turn([{ type: 'input_text', text: 'q' }])] })).toBe('q')
  expect(question('completions', { prompt: 'q' })).toBe('q')
  expect(question('ollama_chat', { messages: [{ ...turn('q'), images: ['x'] }] })).toBeNull()
  expect(question('converse', { messages: [turn([{ text: 'q' }])] })).toBe('q')
  expect(question('embeddings', { input: 'q' })).toBeNull()
})

test('order of keys and how it is sent change nothing', () => {
  expect(of({ messages: chat()['messages']!, stream: true, stream_options: {}, user: 'u', model: 'm' })).toEqual(
    of(chat()),
  )
})

// The fields of a request and of where it comes from, each with values that mean different things.
const SPACE: Readonly<Record<string, readonly Json[]>> = {
  scope: ['a', 'b', 'ab', ''],
  route: ['m', 'n', 'b'],
  query: ['', '?a=1'],
  target: ['p/m', 'p/n', 'q/m'],
  version: ['', '2023-06-01', '1'],
  model: ['m', 'n', 'mn'],
  system: ['Be brief.', 'Be brief', 'Be long.', ''],
  earlier: [[], [turn('a', 'assistant')], [turn('a'), turn('b', 'assistant')], [turn('ab', 'assistant')]],
  question: ['What is a heddle?', 'What is a loom?', 'what is a heddle?', ' '],
  tools: [[], [{ type: 'function', function: { name: 'f' } }], [{ type: 'function', function: { name: 'g' } }]],
  tool_choice: ['auto', 'none'],
  response_format: [{ type: 'text' }, { type: 'json_object' }],
  temperature: [0, 0.1, '0'],
  top_p: [1, 0.5],
  max_tokens: [1, 10, 100],
  seed: [1, 2, null],
  stop: [['a'], ['b'], 'a', ['a', 'b'], ['ab']],
  logit_bias: [{ '1': 1 }, { '1': 2 }, { '11': 1 }],
  parts: ['text', 'picture', 'other picture'],
  unknown: [true, false, 'true', { a: { b: 1 } }, { a: { b: '1' } }, { a: 1, b: {} }],
}
const FIELDS = Object.keys(SPACE)

function keyFrom(choice: Readonly<Record<string, Json>>): CacheKey {
  const { scope, route, query, target, version, model, system, earlier, question, parts, ...rest } = choice
  const picture = { type: 'image_url', image_url: { url: String(parts) } }
  const last = parts === 'text' ? question! : [{ type: 'text', text: question! }, picture]
  const messages = [turn(system!, 'system'), ...(earlier as JsonObject[]), turn(last)]
  const where = [scope, route, '/v1/chat/completions', query, '', model, target, version] as string[]
  return keyOf(where, 'chat', { model: model!, messages, ...rest })
}

// A generator of its own: a million pairs by fast-check would take minutes. mulberry32.
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const PAIRS = process.env['HEDDLE_TEST_FULL'] === '1' ? 1_000_000 : 100_000

test(`${PAIRS} pairs that differ in one field never share an answer, nor a partition unless it is the question`, () => {
  const next = random(20_261_123)
  const found: string[] = []
  const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)]!
  for (let i = 0; i < PAIRS; i++) {
    const one = Object.fromEntries(FIELDS.map((field) => [field, pick(SPACE[field]!)]))
    const field = pick(FIELDS)
    const other = { ...one, [field]: pick(SPACE[field]!.filter((value) => value !== one[field])) }
    const a = keyFrom(one)
    const b = keyFrom(other)
    const shared = a.exact === b.exact || (a.partition === b.partition && (field !== 'question' || a.question === null))
    if (shared) found.push(`${field}: ${JSON.stringify(one[field])} and ${JSON.stringify(other[field])}`)
  }
  expect(found).toEqual([])
}, 120_000)

test('any two different JSON bodies have different keys, and equal ones the same, in any order of keys', () => {
  const body = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 })
  const shuffled = (value: unknown): unknown =>
    typeof value !== 'object' || value === null
      ? value
      : Array.isArray(value)
        ? value.map(shuffled)
        : Object.fromEntries(
            Object.entries(value)
              .toReversed()
              .map(([k, v]) => [k, shuffled(v)]),
          )
  const plain = (value: unknown): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject
  fc.assert(
    fc.property(body, body, (one, other) => {
      const [a, b] = [plain({ ...one, messages: [] }), plain({ ...other, messages: [] })]
      expect(of(a)).toEqual(of(shuffled(a) as JsonObject))
      // Of keys that are left out of partitions the generator knows none: its names are too short.
      expect(of(a).exact === of(b).exact).toBe(sorted(a) === sorted(b))
    }),
    { numRuns: 2000 },
  )
})

const sorted = (value: unknown): string =>
  JSON.stringify(value, (_key, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  )

test('texts of where cannot be taken for one another', () => {
  expect(of(chat(), ['a', 'bc']).partition).not.toBe(of(chat(), ['ab', 'c']).partition)
  expect(of(chat(), ['a\n1:b']).partition).not.toBe(of(chat(), ['a', 'b']).partition)
})
