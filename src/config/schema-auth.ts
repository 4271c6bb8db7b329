import { z } from 'zod'

export const authSchema = z.optional(z.strictObject({})).describe('Who may call.')
export const tenantsSchema = z.optional(z.record(z.string(), z.strictObject({}))).describe('Tenants by name.')
