import { z } from 'zod'

export const limitsSchema = z.optional(z.record(z.string(), z.strictObject({}))).describe('Limits by name.')
export const ledgerSchema = z.optional(z.strictObject({})).describe('Where limits are counted.')
