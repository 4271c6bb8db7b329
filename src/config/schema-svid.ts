import { z } from 'zod'
import { optional } from './fields.ts'

export const svidField = optional(z.strictObject({}), 'This workload’s own certificate, for pods without a sidecar.')
