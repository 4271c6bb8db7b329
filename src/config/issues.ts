import { z } from 'zod'
import { didYouMean } from './nearest.ts'
import type { Path, Problem } from './problem.ts'
import { configSchema } from './schema.ts'
import type { SourceMap } from './yaml-source.ts'

type Issue = z.core.$ZodIssue

/** Every object schema that `schema` may mean: through optionals, defaults and unions. */
const unwrapAll = (schema: z.core.$ZodType): readonly z.core.$ZodType[] => {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault || schema instanceof z.ZodNullable) {
    return unwrapAll(schema.unwrap())
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(unwrapAll)
  return [schema]
}

const step = (schema: z.core.$ZodType, key: string | number): readonly z.core.$ZodType[] => {
  if (schema instanceof z.ZodObject) {
    const field = (schema.shape as Record<string, z.core.$ZodType>)[key]
    return field === undefined ? [] : unwrapAll(field)
  }
  if (schema instanceof z.ZodRecord) return unwrapAll(schema.valueType)
  if (schema instanceof z.ZodArray) return unwrapAll(schema.element)
  return []
}

/** The keys that may stand in the map at `path`. */
export const validKeys = (path: Path): readonly string[] => {
  let schemas = unwrapAll(configSchema)
  for (const key of path) schemas = schemas.flatMap((schema) => step(schema, key))
  return [...new Set(schemas.flatMap((schema) => (schema instanceof z.ZodObject ? Object.keys(schema.shape) : [])))]
}

const ARTICLES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: '`true` or `false`',
  object: 'a map',
  record: 'a map',
  array: 'a list',
}

const valueAt = (root: unknown, path: Path): unknown => {
  let value = root
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string | number, unknown>)[key]
  }
  return value
}

const message = (issue: Issue): string => {
  if (issue.code === 'invalid_type') {
    const expected = ARTICLES[issue.expected] ?? issue.expected
    return issue.message.startsWith('must ') ? issue.message : `must be ${expected}`
  }
  if (issue.code === 'invalid_value') return `must be ${issue.values.map((value) => `\`${String(value)}\``).join(', ')}`
  if (issue.code === 'too_big' && issue.origin === 'array') return `has more than ${issue.maximum} items`
  return issue.message
}

/** Of a union's branches the one that was meant: whose root type fits. Several or none: the union's own message. */
const branchOf = (issue: z.core.$ZodIssueInvalidUnion): readonly Issue[] | undefined => {
  const isRoot = (inner: Issue): boolean =>
    inner.path.length === 0 && ['invalid_type', 'invalid_value', 'invalid_union'].includes(inner.code)
  const fitting = issue.errors.filter((branch) => branch.length > 0 && !branch.some(isRoot))
  return fitting.length === 1 ? fitting[0] : undefined
}

const toProblems = (issue: Issue, prefix: Path, root: unknown, map: SourceMap): readonly Problem[] => {
  const path = [...prefix, ...(issue.path as (string | number)[])]
  if (issue.code === 'unrecognized_keys') {
    const valid = validKeys(path)
    return issue.keys.map((key) => {
      const hint = didYouMean(key, valid)
      const listed = hint === '' && valid.length <= 20 ? `; known keys: ${valid.join(', ')}` : hint
      return map.problem([...path, key], `unknown key${listed}`, 'key')
    })
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map((inner) => map.problem(path, `the key ${inner.message}`, 'key'))
  }
  if (issue.code === 'invalid_union') {
    const branch = branchOf(issue)
    if (branch !== undefined) return branch.flatMap((inner) => toProblems(inner, path, root, map))
  }
  if (valueAt(root, path) === undefined) return [map.problem(path, 'is missing')]
  return [map.problem(path, message(issue))]
}

/** Schema issues as problems with places. Messages never quote values. */
export const problemsOf = (issues: readonly Issue[], root: unknown, map: SourceMap): readonly Problem[] =>
  issues.flatMap((issue) => toProblems(issue, [], root, map))
