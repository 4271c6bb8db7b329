import { expect, test } from 'vitest'
import { configJsonSchema } from './index.ts'

type Schema = Readonly<Record<string, unknown>>

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Every property of every object in the schema, with its path. */
const fields = (value: unknown, path: string): readonly (readonly [string, Schema])[] => {
  if (Array.isArray(value)) return value.flatMap((item, i) => fields(item, `${path}/${i}`))
  if (!isSchema(value)) return []
  const own = isSchema(value['properties'])
    ? Object.entries(value['properties']).map(([key, field]) => [`${path}/${key}`, field as Schema] as const)
    : []
  return [...own, ...Object.entries(value).flatMap(([key, child]) => fields(child, `${path}/${key}`))]
}

const objects = (value: unknown, path: string): readonly (readonly [string, Schema])[] => {
  if (Array.isArray(value)) return value.flatMap((item, i) => objects(item, `${path}/${i}`))
  if (!isSchema(value)) return []
  const inner = Object.entries(value).flatMap(([key, child]) => objects(child, `${path}/${key}`))
  return isSchema(value['properties']) && value['type'] === 'object' ? [[path, value], ...inner] : inner
}

const schema = configJsonSchema()

test('every field says what it is', () => {
  const all = fields(schema, '')
  expect(all.length).toBeGreaterThan(100)
  const silent = all.filter(([, field]) => typeof field['description'] !== 'string' || field['description'] === '')
  expect(silent.map(([path]) => path)).toEqual([])
})

test('every object is strict, and every key is snake_case', () => {
  const all = objects(schema, '')
  expect(all.length).toBeGreaterThan(15)
  expect(all.filter(([, object]) => object['additionalProperties'] !== false).map(([path]) => path)).toEqual([])
  const keys = all.flatMap(([, object]) => Object.keys(object['properties'] as object))
  expect(keys.filter((key) => !/^[a-z]+(_[a-z]+)*$/.test(key))).toEqual([])
})

test('it is draft 2020-12 with named definitions, and all references resolve', () => {
  expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema')
  expect(schema['$id']).toMatch(/^urn:/)
  const definitions = Object.keys(schema['$defs'] as object)
  expect(definitions).toEqual(
    expect.arrayContaining(['Duration', 'Size', 'Share', 'Provider', 'Target', 'Model', 'Price']),
  )
  const references = JSON.stringify(schema).match(/"#\/\$defs\/[^"]+"/g) ?? []
  expect(references.length).toBeGreaterThan(10)
  expect(definitions).toContain('Reference')
  for (const reference of references) expect(definitions).toContain(reference.slice('"#/$defs/'.length, -1))
})
