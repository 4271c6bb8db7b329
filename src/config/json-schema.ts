import { z } from 'zod'
import { configSchema } from './schema.ts'

export const SCHEMA_ID = 'urn:heddle:schema:config'

type Node = Record<string, unknown>

const REFERENCE = 'Reference'

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What says something about a field rather than about its values. */
const ANNOTATIONS = new Set(['description', 'default', 'title', 'id'])

/** A scalar that `${env:..}` cannot satisfy by its own text: a number, a switch, or text of a certain form. */
const isNarrow = (node: Node): boolean => {
  if ('const' in node) return false
  const type = node['type']
  if (type === 'integer' || type === 'number' || type === 'boolean') return true
  return type === 'string' && ('pattern' in node || 'enum' in node)
}

const withReference = (node: Node): Node => {
  const entries = Object.entries(node)
  const notes = entries.filter(([key]) => ANNOTATIONS.has(key))
  const values = entries.filter(([key]) => !ANNOTATIONS.has(key))
  return { ...Object.fromEntries(notes), anyOf: [Object.fromEntries(values), { $ref: `#/$defs/${REFERENCE}` }] }
}

const admitReferences = (value: unknown, key: string): unknown => {
  if (Array.isArray(value)) return value.map((item) => admitReferences(item, ''))
  if (!isNode(value)) return value
  // Keys of a map are never interpolated.
  if (key === 'propertyNames') return value
  const node = Object.fromEntries(Object.entries(value).map(([name, child]) => [name, admitReferences(child, name)]))
  return isNarrow(node) ? withReference(node) : node
}

/**
 * The YAML surface as JSON Schema, draft 2020-12: what may be written, before defaults and units are applied. Wherever a
 * value has a form, `${env:..}` and `${file:..}` may stand for it, so that editors do not underline them.
 */
export const configJsonSchema = (): Node => {
  const { $schema, $defs, ...rest } = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' })
  const definitions = admitReferences($defs, '')
  const reference = {
    description: 'A value from the environment or a file, put in when the configuration is loaded.',
    type: 'string',
    pattern: String.raw`\$\{(?:env|file):[^}]+\}`,
  }
  return {
    $schema,
    $id: SCHEMA_ID,
    title: 'Heddle configuration',
    ...(admitReferences(rest, '') as Node),
    $defs: { ...(isNode(definitions) ? definitions : {}), [REFERENCE]: reference },
  }
}
