import { z } from 'zod'
import { optional } from './fields.ts'

export const balancingField = optional(z.strictObject({}), 'How calls are spread over the addresses of `discovery`.')
