import { z } from 'zod'
import { integer, name, optional, share, withDefault } from './fields.ts'
import { capabilitiesSchema, priceSchema } from './schema-provider.ts'
import { overridesShape } from './schema-route.ts'

const TARGET_TEXT = 'must be `provider/model`, or just `provider` when the model has the same name there'

const targetText = z
  .string({ error: TARGET_TEXT })
  .regex(/^[^/\s]+(\/\S+)?$/, { error: TARGET_TEXT })
  .max(512)
  .meta({ id: 'TargetName', description: '`provider/model`, or `provider` when the model has the same name there.' })

const targetObject = z
  .strictObject({
    provider: name.describe('An entry under `providers`.'),
    model: optional(
      name,
      'The model’s name at the provider; `*` takes what the public name’s `*` matched. Left out: the public name.',
    ),
    weight: withDefault(
      z.number().min(0, { error: 'must not be negative' }).max(1_000_000),
      1,
      'Share among targets of one priority. 0 = only when the others fail.',
    ),
    priority: optional(
      integer(0, 1000),
      'Lower is tried first. Left out: the place in the list with `strategy: priority`, else 0.',
    ),
    when: optional(
      z.string().min(1).max(4096),
      'CEL condition over `request`, `headers`, `metadata`, `model`, `operation` and `stream`. Left out: always.',
    ),
    capabilities: optional(capabilitiesSchema, 'Corrections to what is known about the model.'),
    price: optional(priceSchema, 'Corrections to the known price; used by `lowest_cost` and budgets.'),
    canary: optional(share, 'Share of requests that start here whatever the strategy says.'),
    shadow: optional(
      share,
      'Share of requests copied here; the answer is discarded. Such a target never answers a client.',
    ),
  })
  .meta({ id: 'Target' })

const target = z.union([targetText, targetObject], { error: `${TARGET_TEXT}, or a map with \`provider\`` })

const modelNames = z.array(name).max(50)

const fallbacks = z.union(
  [
    modelNames.describe('Models that take over for any failure, in order.'),
    z.strictObject({
      any: optional(modelNames, 'When every target failed.'),
      context_window: optional(modelNames, 'When the prompt is too long for the targets.'),
      content_policy: optional(modelNames, 'When a provider refused the content.'),
    }),
  ],
  { error: 'must be a list of model names, or a map with `any`, `context_window`, `content_policy`' },
)

export const STICKY_PATTERN = /^(?:user|prefix|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+|metadata:\S+)$/

export const modelObject = z
  .strictObject({
    targets: z.array(target).min(1, { error: 'needs at least one target' }).max(200).describe('Where requests go.'),
    aliases: optional(modelNames, 'Other names for this model.'),
    strategy: withDefault(
      z.enum(['priority', 'weighted', 'least_busy', 'lowest_latency', 'lowest_cost']),
      'priority',
      'How to choose among targets: in order, by weight, or by what was measured. Priorities go before every strategy.',
    ),
    sticky: optional(
      z.string().regex(STICKY_PATTERN, { error: 'must be `user`, `prefix`, `header:NAME` or `metadata:KEY`' }),
      'Keep requests with the same key on one target: `user`, `header:NAME`, `metadata:KEY`, or `prefix` (beginning of the conversation, for prompt caches).',
    ),
    fallbacks: optional(
      fallbacks,
      'Other models that take over, by public name or as `provider/model`. A list means any failure.',
    ),
    ...overridesShape,
  })
  .meta({ id: 'Model' })

const modelEntry = z.union(
  [targetText, z.array(target).min(1, { error: 'needs at least one target' }).max(200), modelObject],
  {
    error: 'must be `provider/model`, a list of those, or a map with `targets`',
  },
)

export const modelsSchema = z
  .optional(z.record(name, modelEntry))
  .describe(
    'Public models by name; one `*` makes a pattern. Short form: `provider/model`, or a list of those in order of priority. Left out: `provider/model` names and the providers’ patterns.',
  )

export type TargetInput = z.output<typeof target>
export type ModelEntry = z.output<typeof modelEntry>
export type ModelObject = z.output<typeof modelObject>
export type FallbacksInput = z.output<typeof fallbacks>
