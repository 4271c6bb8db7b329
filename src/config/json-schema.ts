import { z } from 'zod'
import { configSchema } from './schema.ts'

export const SCHEMA_ID = 'urn:heddle:schema:config'

/** The YAML surface as JSON Schema, draft 2020-12: what may be written, before defaults and units are applied. */
export const configJsonSchema = (): Record<string, unknown> => {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' })
  return { $schema, $id: SCHEMA_ID, title: 'Heddle configuration', ...rest }
}
