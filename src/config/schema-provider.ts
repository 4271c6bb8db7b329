import { z } from 'zod'
import { WIRES } from '../protocol/operations.ts'
import { balancingField } from './schema-balancing.ts'
import { capacityField } from './schema-capacity.ts'
import { credentialsField, dataField } from './schema-credentials.ts'
import { discoveryField } from './schema-discovery.ts'
import { mappingField, stepsField } from './schema-mapping.ts'
import { classField, egressField, propagateField } from './schema-egress.ts'
import { flag, integer, longText, name, operation, optional, section, withDefault } from './fields.ts'

/** Price in US dollars per million tokens. */
const money = z.number().min(0, { error: 'must not be negative' }).max(1_000_000)

const rates = {
  input: money.describe('Per million prompt tokens, US dollars.'),
  output: money.describe('Per million answer tokens, US dollars.'),
  cached_input: optional(money, 'Per million prompt tokens that the provider had cached. Left out: as `input`.'),
  cache_write: optional(money, 'Per million prompt tokens written to its cache for 5 minutes. Left out: as `input`.'),
  cache_write_hour: optional(money, 'The same for an hour. Left out: as `cache_write`.'),
  audio_input: optional(money, 'Per million audio tokens of the prompt. Left out: as `input`.'),
  audio_output: optional(money, 'Per million audio tokens of the answer. Left out: as `output`.'),
  image_input: optional(money, 'Per million image tokens of the prompt. Left out: as `input`.'),
  image_output: optional(money, 'Per million image tokens of the answer. Left out: as `output`.'),
  reasoning: optional(money, 'Per million reasoning tokens. Left out: as `output`.'),
}

const longContext = optional(
  z
    .array(
      z.strictObject({
        above: integer(1, 1_000_000_000).describe('Prompts of more tokens than this have these prices, as a whole.'),
        ...rates,
      }),
    )
    .max(8),
  'Prices of calls with long prompts. The highest threshold that is exceeded holds.',
)

const tierName = z.string().regex(/^[a-z0-9_-]{1,32}$/, { error: 'is not the name of a service tier' })
const tierPrice = z.union([z.number().min(0).max(100), z.strictObject({ ...rates, long_context: longContext })], {
  error: 'must be a factor, or a price with `input` and `output`',
})

export const priceSchema = z
  .strictObject({
    ...rates,
    long_context: longContext,
    tiers: optional(
      z.record(tierName, tierPrice),
      'By service tier (`flex`, `priority`, `batch`): a factor on the prices of tokens, or prices of its own.',
    ),
    per_request: optional(money, 'Each call, US dollars.'),
    per_search: optional(money, 'Each call of the provider’s own search, US dollars.'),
    per_rerank_unit: optional(money, 'Each search unit of a reranker, US dollars.'),
    per_image: optional(money, 'Each image made, US dollars.'),
    per_minute: optional(money, 'Minute of audio transcribed, US dollars.'),
    per_million_characters: optional(money, 'Per million characters spoken, US dollars.'),
  })
  .meta({ id: 'Price' })

export const capabilitiesSchema = z
  .strictObject({
    tools: optional(flag, 'Function calling.'),
    vision: optional(flag, 'Images in the prompt.'),
    audio: optional(flag, 'Audio in the prompt or the answer.'),
    json_schema: optional(flag, 'Answers that follow a JSON Schema.'),
    streaming: optional(flag, 'Server-sent events.'),
    context_window: optional(integer(1, 1_000_000_000), 'Tokens, prompt and answer together.'),
    max_output_tokens: optional(integer(1, 1_000_000_000), 'Longest answer, tokens.'),
  })
  .meta({ id: 'Capabilities' })

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

const headerName = z
  .string()
  .regex(HEADER_NAME, { error: 'is not an HTTP header name (RFC 9110 token)' })
  .refine((text) => !OWN_HEADERS.has(text.toLowerCase()), { error: 'is a header that Heddle sets itself' })
// A line break in a value would be header injection; the transport refuses it too, but only per request.
const headerValue = longText.regex(/^[\t\x20-\x7e\x80-\xff]*$/, {
  error: 'holds a character that a header cannot carry',
})

// No blank, no control character: a key file with a second line would otherwise fail on every request.
export const API_KEY_PATTERN = /^[\x21-\x7e]+$/
const apiKey = longText.regex(API_KEY_PATTERN, {
  error: 'holds a blank, a line break or another character that no key has',
})

/** Written per request by the transport or the client's own request: a fixed value would break framing or routing. */
const OWN_HEADERS = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'transfer-encoding',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'accept-encoding',
])

const modelPattern = name.regex(/^[^*]*\*?[^*]*$/, { error: 'can hold one `*` only' })

const baseUrl = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const bad = (message: string): void => context.addIssue({ code: 'custom', message })
  if (url === undefined || !['http:', 'https:', 'grpc:', 'grpcs:'].includes(url.protocol))
    bad('must be an absolute http or https URL, of some model servers also grpc or grpcs')
  else if (url.username !== '' || url.password !== '') bad('must not hold credentials; use `api_key` or `headers`')
  else if (url.search !== '' || url.hash !== '') bad('must not hold a query or fragment; use `query`')
})

const spiffeId = z
  .string()
  .max(2048)
  .regex(/^spiffe:\/\/\S+$/, {
    error: 'must be a SPIFFE id such as `spiffe://cluster.local/ns/models/sa/vllm`, in which `*` stands for any text',
  })

const tls = section(
  {
    ca: optional(
      longText,
      'Certificates to trust instead of the system’s, as PEM text; `${file:/path/ca.pem}` reads a file.',
    ),
    server_name: optional(name, 'Name expected in the certificate when it is not the host of `base_url`.'),
    verify: withDefault(flag, true, 'Check the certificate. Off only for tests.'),
    svid: withDefault(
      flag,
      false,
      'Show the certificate of `mesh.svid`, and believe the bundle of the other end’s trust domain. Host names do not count then.',
    ),
    spiffe_ids: optional(
      z.array(spiffeId).min(1).max(100),
      'With `svid`: SPIFFE ids, with `*`, of which the other end must be one. Left out: any that the bundles vouch for.',
    ),
  },
  'TLS towards the provider.',
)

export const providerSchema = z
  .strictObject({
    type: optional(
      name,
      'A preset (see the provider reference), `openai_compatible` (needs `base_url`), or `sim`. Left out: the entry’s own name.',
    ),
    base_url: optional(
      baseUrl,
      'Where the API begins, such as `http://vllm.llm:8000/v1`. Operation paths are appended. Of TensorFlow Serving and KServe also `grpc://host:port` or, with TLS, `grpcs://`.',
    ),
    api_key: optional(
      apiKey,
      'Credential. Left out: the preset’s environment variable. Write `${env:NAME}` or `${file:PATH}`.',
    ),
    auth: optional(
      z.enum(['bearer', 'api-key', 'x-api-key', 'x-goog-api-key', 'none']),
      'How the key is sent: `authorization: Bearer`, or in a header of that name, or not at all.',
    ),
    headers: optional(z.record(headerName, headerValue), 'Headers added to every request to this provider.'),
    query: optional(z.record(name, longText), 'Query parameters added to every request, such as `api-version`.'),
    operations: optional(
      z.array(operation.exclude(['mcp'])).min(1),
      'What the provider speaks itself: such requests reach it as they came. Left out: as the preset says.',
    ),
    wire: optional(
      z.enum([...WIRES, 'none']),
      'What requests in other dialects are translated to. Left out: as the preset says, else chat completions where `operations` has them, else responses.',
    ),
    model_patterns: optional(
      z.array(modelPattern).max(200),
      'Model names (with `*`) that go here without an entry under `models`. Left out: as the preset says.',
    ),
    stream_usage: optional(flag, 'Understands `stream_options.include_usage`.'),
    stream_end: optional(
      z.enum(['done', 'finish_reason']),
      'What ends a chat stream: the `[DONE]` event, or the finish reason for backends that send no such event.',
    ),
    max_connections: withDefault(
      integer(1, 100_000),
      10_000,
      'Most open connections per worker. Requests beyond it wait.',
    ),
    tls,
    capabilities: optional(
      capabilitiesSchema,
      'What every model of this provider can do, unless a target says otherwise.',
    ),
    credentials: credentialsField,
    capacity: capacityField,
    discovery: discoveryField,
    balancing: balancingField,
    data: dataField,
    mapping: mappingField,
    steps: stepsField,
    class: classField,
    egress: egressField,
    propagate_trace: propagateField,
  })
  .meta({ id: 'Provider' })

export const providersSchema = z
  .optional(
    z.record(name, z.union([z.null(), providerSchema], { error: 'must be a map of settings, or empty for a preset' })),
  )
  .describe(
    'Backends by name. An empty entry named like a preset is enough. Left out: every preset whose environment variable is set.',
  )
