import { z } from 'zod'
import { optional } from './fields.ts'

export const credentialsField = optional(
  z.strictObject({}),
  'How Heddle proves itself to the provider when one key is not all.',
)
export const dataField = optional(
  z.strictObject({}),
  'Where the provider computes and what it keeps, for rules on residency and retention.',
)
