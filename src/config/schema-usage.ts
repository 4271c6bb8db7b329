import { z } from 'zod'
import { flag, integer, longText, name, optional, size, withDefault } from './fields.ts'
import { priceSchema } from './schema-provider.ts'

const POLICIES = ['deny', 'estimate', 'flag'] as const

const money = z.number().min(0, { error: 'must not be negative' }).max(1_000_000)

const pattern = z
  .string()
  .regex(/^[^/\s]+\/\S+$/, { error: 'must be `provider/model`, in which `*` stands for any text' })
  .max(512)

const url = z.string().superRefine((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const bad = (message: string): void => context.addIssue({ code: 'custom', message })
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol))
    bad('must be an absolute http or https URL, such as `http://collector:4318/v1/logs`')
  else if (parsed.username !== '' || parsed.password !== '') bad('must not hold credentials; use `headers`')
})

const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { error: 'is not an HTTP header name' })
const headerValue = longText.regex(/^[\t\x20-\x7e\x80-\xff]*$/, {
  error: 'holds a character that a header cannot carry',
})

const records = z.strictObject({
  file: optional(
    z.strictObject({
      path: longText.describe('File that gets a line of JSON a request. Relative to where the gateway was started.'),
      rotate: withDefault(size, '256MiB', 'A larger file is renamed and a new one begun; 0 = never.'),
    }),
    'Records as lines of JSON in a file.',
  ),
  otlp: optional(
    z.strictObject({
      url: url.describe('Where the collector takes logs: OTLP over HTTP.'),
      headers: optional(z.record(headerName, headerValue), 'Headers of each request, such as a key.'),
    }),
    'Records as OpenTelemetry logs.',
  ),
  redis: optional(
    z.strictObject({
      stream: withDefault(name, 'heddle:usage', 'Name of the stream.'),
      max_length: withDefault(integer(1, 100_000_000), 1_000_000, 'About so many records are kept.'),
    }),
    'Records in a stream of the ledger’s Redis.',
  ),
})

export const usageSchema = z
  .optional(
    z.strictObject({
      prices: optional(
        z.record(pattern, priceSchema),
        'Prices by `provider/model` (`*` = any text), in the order of the file: the first that fits holds. Stronger than the built-in table, weaker than a target’s own `price`.',
      ),
      unknown_price: withDefault(
        z.enum(POLICIES),
        'flag',
        'A target without a known price: `deny` its calls, `estimate` at the assumed price, or charge nothing and `flag` the record.',
      ),
      assumed_price: withDefault(
        z.strictObject({
          input: money.describe('Per million prompt tokens, US dollars.'),
          output: money.describe('Per million answer tokens, US dollars.'),
        }),
        { input: 5, output: 25 },
        'The price that `estimate` assumes.',
      ),
      cost_header: withDefault(
        flag,
        true,
        'Tell the caller what a JSON answer cost, as the header `x-heddle-cost-usd`; only where the price is known.',
      ),
      records: optional(records, 'Where a record of each request goes.'),
    }),
  )
  .describe('What calls cost, and where that is recorded.')
