import { z } from 'zod'
import { optional } from './fields.ts'

export const discoveryField = optional(z.strictObject({}), 'Where the addresses behind this provider come from.')
