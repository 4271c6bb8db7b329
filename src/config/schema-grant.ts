import { z } from 'zod'
import { flag, longText, name, operation, optional, withDefault } from './fields.ts'

const patterns = z.array(name).max(1000)

/** What may be done: the same fields for keys, roles, tenants and peers. */
export const grantFields = {
  models: optional(patterns, 'Public model names that may be asked for, with `*`. Left out: all. `[]`: none.'),
  operations: optional(z.array(operation), 'Operations that may be used. Left out: all.'),
  providers: optional(patterns, 'Providers that may serve the requests, with `*`. Left out: all.'),
  tools: optional(
    patterns,
    'Functions by name and built-in tools by type that a request may offer to the model, with `*`. Left out: all. With this, `passthrough` is refused: nobody reads what it offers.',
  ),
  regions: optional(
    patterns,
    'Regions in which the requests may be computed, with `*`: what `data.region` of a provider says. A provider that does not say is not used.',
  ),
  no_retention: withDefault(flag, false, 'Only providers that keep no prompts: `data.retention: false`.'),
  when: optional(longText, 'Condition in CEL over the request and `principal` that must be true for each request.'),
}

/** One role: a grant with a name. */
export const grantSchema = z.strictObject(grantFields).meta({ id: 'Grant', title: 'grant' })

export type ParsedGrant = z.output<typeof grantSchema>
