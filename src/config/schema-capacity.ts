import { z } from 'zod'
import { optional } from './fields.ts'

export const capacityField = optional(
  z.strictObject({}),
  'What the provider can take at a time; more waits in a fair queue.',
)
