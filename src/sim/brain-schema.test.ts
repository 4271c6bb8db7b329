import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { samplesOf } from './brain-pattern.ts'
import type { Lift } from './brain-schema.ts'
import { smallestInstance } from './brain-schema.ts'
import { createLift } from './brain-lift.ts'
import type { Json, JsonObject } from './json.ts'
import { parseJson } from './json.ts'

const validates = (schema: Json, value: Json): string | null => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  return ajv.validate(schema as JsonObject, value) ? null : `${JSON.stringify(value)} ${ajv.errorsText()}`
}

const noLift: Lift = {
  string: () => undefined,
  number: () => undefined,
  member: () => undefined,
  word: (key) => key || 'w',
}
const smallest = (schema: Json, allProperties = false): Json =>
  smallestInstance(schema, { lift: noLift, allProperties, liftOptional: false })

const key = fc.constantFrom('name', 'size', 'city_name', 'Tags', 'x-1', 'ünï', 'constructor', 'toString')

const { schema: anySchema } = fc.letrec<{ schema: JsonObject; leaf: JsonObject }>((tie) => ({
  leaf: fc.oneof(
    fc
      .record({ low: fc.integer({ min: 0, max: 6 }), span: fc.integer({ min: 0, max: 9 }) })
      .map(({ low, span }): JsonObject => ({
        type: 'string',
        minLength: low,
        maxLength: low + span,
      })),
    fc
      .record({ low: fc.integer({ min: -50, max: 50 }), span: fc.integer({ min: 0, max: 40 }) })
      .map(({ low, span }): JsonObject => ({
        type: 'integer',
        minimum: low,
        maximum: low + span,
      })),
    fc
      .integer({ min: -9, max: 9 })
      .map((low): JsonObject => ({ type: 'number', exclusiveMinimum: low, exclusiveMaximum: low + 0.5 })),
    fc
      .integer({ min: 1, max: 7 })
      .map((step): JsonObject => ({ type: 'integer', multipleOf: step, minimum: step * 3 - 1 })),
    fc
      .uniqueArray(fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)), { minLength: 1, maxLength: 4 })
      .map((members): JsonObject => ({ enum: members })),
    fc.jsonValue({ maxDepth: 2 }).map((value): JsonObject => ({ const: value as Json })),
    fc.constantFrom<JsonObject>(
      { type: 'boolean' },
      { type: 'null' },
      { type: ['string', 'null'] },
      { type: 'string', pattern: '^[A-Z]{3}-\\d{4}$' },
      { type: 'string', pattern: '^(?:red|green)+ ?[^a-z]\\w*$' },
      { type: 'string', format: 'date-time' },
      {},
    ),
  ),
  schema: fc.oneof(
    { maxDepth: 3 },
    tie('leaf'),
    fc
      .record({ properties: fc.dictionary(key, tie('schema'), { maxKeys: 4 }), some: fc.nat(4), closed: fc.boolean() })
      .map(({ properties, some, closed }): JsonObject => ({
        type: 'object',
        properties,
        required: Object.keys(properties).slice(0, some),
        ...(closed ? { additionalProperties: false } : {}),
      })),
    fc
      .record({ items: tie('schema'), minItems: fc.nat(3) })
      .map(({ items, minItems }): JsonObject => ({ type: 'array', items, minItems })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf): JsonObject => ({ anyOf })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((prefixItems): JsonObject => ({
      type: 'array',
      prefixItems,
      minItems: prefixItems.length,
    })),
    fc.record({ a: tie('schema'), b: tie('schema') }).map(({ a, b }): JsonObject => ({
      $defs: { a, 'b/c': b },
      type: 'object',
      properties: { a: { $ref: '#/$defs/a' }, b: { $ref: '#/$defs/b~1c' } },
      required: ['a', 'b'],
    })),
  ),
}))

/** Definitions are looked up from the root, so a schema with its own must be the root. */
const rooted = anySchema.filter((schema) => {
  const text = JSON.stringify(schema)
  return !text.includes('$defs') || (text.startsWith('{"$defs"') && text.split('$defs"').length === 2)
})

describe('smallestInstance', () => {
  it('is judged by a validator that can say no', () => {
    expect(validates({ type: 'integer' }, 'x')).toContain('must be integer')
  })

  it('is valid for any schema, with required or with all properties', () => {
    fc.assert(
      fc.property(rooted, fc.boolean(), (schema, all) => {
        expect(validates(schema, smallest(schema, all))).toBeNull()
      }),
      { numRuns: 80 },
    )
  })

  it('stays valid whatever the prompt offers', () => {
    fc.assert(
      fc.property(
        rooted,
        fc.string({ maxLength: 80 }),
        fc.array(fc.double({ noNaN: true }), { maxLength: 4 }),
        (schema, text, numbers) => {
          const lift = createLift(`${text} "quoted" in Oslo ${numbers.join(' ')}`)
          const value = smallestInstance(schema, { lift, allProperties: false, liftOptional: true })
          expect(validates(schema, value)).toBeNull()
        },
      ),
      { numRuns: 50 },
    )
  })

  it('takes the first enum member, const, the order of properties, and only what is required', () => {
    const schema = {
      type: 'object',
      properties: {
        z: { enum: ['b', 'a'] },
        a: { const: 7 },
        m: { type: 'array', items: { type: 'string' } },
        o: { type: 'string' },
      },
      required: ['m', 'a', 'z'],
    }
    expect(JSON.stringify(smallest(schema))).toBe('{"z":"b","a":7,"m":[]}')
    expect(Object.keys(smallest(schema, true) as JsonObject)).toEqual(['z', 'a', 'm', 'o'])
  })

  it('ends recursion where the schema lets it', () => {
    const schema = {
      $defs: {
        node: {
          type: 'object',
          properties: { value: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          required: ['value', 'next'],
        },
      },
      $ref: '#/$defs/node',
    }
    expect(smallest(schema)).toEqual({ value: 0, next: null })
    const tree = {
      type: 'object',
      properties: { children: { type: 'array', items: { $ref: '#' } } },
      required: ['children'],
    }
    expect(smallest(tree)).toEqual({ children: [] })
  })

  it('merges allOf, keeps unique items apart and fills up to minProperties', () => {
    const merged = {
      allOf: [
        { type: 'object', properties: { a: { type: 'integer', minimum: 3 } }, required: ['a'] },
        { properties: { a: { maximum: 3 } } },
      ],
    }
    expect(smallest(merged)).toEqual({ a: 3 })
    for (const items of [
      { type: 'integer' },
      { enum: ['x', 'y', 'z'] },
      { type: 'string', maxLength: 1 },
      { type: 'boolean' },
    ]) {
      const schema = { type: 'array', items, minItems: items.type === 'boolean' ? 2 : 3, uniqueItems: true }
      expect(validates(schema, smallest(schema))).toBeNull()
    }
    const open = { type: 'object', minProperties: 2, additionalProperties: { type: 'integer' } }
    expect(validates(open, smallest(open))).toBeNull()
  })

  it('takes property names and formats that objects inherit', () => {
    const schema = parseJson(
      '{"type":"object","properties":{"__proto__":{"type":"integer"}},"required":["__proto__","constructor"]}',
    )
    expect(Object.keys(smallest(schema) as JsonObject)).toEqual(['__proto__', 'constructor'])
    expect(smallest({ type: 'string', format: 'constructor' })).toBe('w')
  })

  it('answers null for what cannot be satisfied', () => {
    expect(smallest({ type: 'integer', minimum: 5, maximum: 4 })).toBeNull()
    expect(smallest({ $ref: '#/$defs/none' })).toBeNull()
    for (const least of ['minItems', 'minLength', 'minProperties']) {
      const type = { minItems: 'array', minLength: 'string', minProperties: 'object' }[least] ?? ''
      expect(smallest({ type, [least]: 1e9 })).toBeNull()
    }
    expect(smallest({ type: 'string', pattern: '^((a{1000}){1000}){1000}$' })).toBeNull()
  })
})

describe('samplesOf', () => {
  it.each(['^\\d{3}-[a-f]{2}$', '^(a|b)c+$', '^[^0-9]{2,4}$', '\\p{Lu}\\w*', '^$', '^[\\w.+-]+@[\\w-]+\\.[a-z]{2,}$'])(
    'matches %s',
    (pattern) => {
      const samples = samplesOf(pattern)
      expect(samples.length).toBeGreaterThan(0)
      for (const sample of samples) expect(sample).toMatch(new RegExp(pattern, 'u'))
    },
  )

  it('gives up on what it does not understand', () => {
    expect(samplesOf('^(?=x)(a)\\1$')).toEqual([])
    expect(samplesOf('(')).toEqual([])
  })
})
