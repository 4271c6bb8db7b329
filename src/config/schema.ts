import { z } from 'zod'
import { authSchema, tenantsSchema } from './schema-auth.ts'
import { cacheSchema } from './schema-cache.ts'
import { ledgerSchema, limitsSchema } from './schema-limits.ts'
import { mcpSchema } from './schema-mcp.ts'
import { meshSchema } from './schema-mesh.ts'
import { modelsSchema } from './schema-model.ts'
import { providersSchema } from './schema-provider.ts'
import { batchesSchema, responsesSchema } from './schema-responses.ts'
import { defaultsSchema } from './schema-route.ts'
import { serverSchema } from './schema-server.ts'
import { tracingSchema } from './schema-tracing.ts'
import { usageSchema } from './schema-usage.ts'

/** The whole file. Input is YAML as people write it; output has numbers for durations, sizes and shares. */
export const configSchema = z
  .strictObject({
    server: serverSchema,
    defaults: defaultsSchema,
    providers: providersSchema,
    models: modelsSchema,
    auth: authSchema,
    tenants: tenantsSchema,
    limits: limitsSchema,
    ledger: ledgerSchema,
    usage: usageSchema,
    mesh: meshSchema,
    mcp: mcpSchema,
    tracing: tracingSchema,
    responses: responsesSchema,
    batches: batchesSchema,
    cache: cacheSchema,
  })
  .describe('Heddle configuration.')

export type ParsedConfig = z.output<typeof configSchema>
