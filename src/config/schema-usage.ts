import { z } from 'zod'

export const usageSchema = z.optional(z.strictObject({})).describe('What calls cost, and where that is recorded.')
