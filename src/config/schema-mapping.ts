import { z } from 'zod'
import { PROMPT_PRESETS } from '../protocol/templates/prompt.ts'
import { duration, flag, integer, longText, name, optional, section, withDefault } from './fields.ts'

const variables = '`{{variable}}` stands for something of the request'

const template = z.union(
  [z.string(), z.number(), z.boolean(), z.array(z.unknown()), z.record(z.string(), z.unknown())],
  {
    error: 'must be a value, or a text with `{{variable}}` in it',
  },
)

const dimension = integer(-1, 1_000_000)

const input = z.union(
  [
    z.string(),
    z.number(),
    z.boolean(),
    z.strictObject({
      value: template.describe(`What the input gets; ${variables}. A text that is one variable alone keeps its type.`),
      type: optional(
        z.enum(['string', 'int32', 'int64', 'float', 'double', 'bool']),
        'Type of the tensor. Left out: as the value is.',
      ),
      shape: optional(
        z
          .array(dimension)
          .max(8)
          .refine((list) => list.filter((n) => n === -1).length <= 1, { error: 'can hold one `-1` only' }),
        'Shape of the tensor; `-1` is the batch, `[]` a scalar. Left out: `[-1]`, and for a list `[-1, length]`.',
      ),
      default: optional(template, 'What it gets when the request does not say it. Left out: the input is not sent.'),
    }),
  ],
  { error: 'must be a value, a text with `{{variable}}` in it, or a map with `value`' },
)

const inputs = z.record(name, input)

const output = z.union(
  [
    name,
    z.strictObject({
      name: withDefault(z.string().max(256), '', 'Of the output. Left out: the answer as a whole.'),
      path: optional(name, 'Where in it, such as `0.generated_text`. Texts on the way are read as JSON.'),
    }),
  ],
  { error: 'must be the name of an output, or a map with `name` and `path`' },
)

const line = z.string().max(10_000)

const prompt = z.strictObject({
  template: withDefault(
    z.enum(Object.keys(PROMPT_PRESETS) as [string, ...string[]]),
    'plain',
    'How a conversation becomes one text. `plain`: a lone question as it is, else lines with names.',
  ),
  begin: optional(line, 'Before all. Left out: as the template.'),
  system: optional(line, 'Instructions; `{{content}}` stands for them. Left out: as the template.'),
  user: optional(line, 'A turn of the user. Left out: as the template.'),
  assistant: optional(line, 'A turn of the model. Left out: as the template.'),
  end: optional(line, 'After all, where the model goes on. Left out: as the template.'),
})

const outputs = z.strictObject({
  text: optional(output, 'The answer.'),
  embedding: optional(output, 'The vector, or one for each text.'),
  finish: optional(
    output,
    'Why the answer ended, as a text: `length`, `max_tokens` and `content_filter` are understood.',
  ),
  input_tokens: optional(output, 'Tokens of the prompt.'),
  output_tokens: optional(output, 'Tokens of the answer.'),
})

export const mappingSchema = z
  .strictObject({
    signature: optional(name, 'Of a TensorFlow model. Left out: the server’s default.'),
    version: optional(
      z.union([integer(0, Number.MAX_SAFE_INTEGER), name]),
      'Of the model. Left out: as the server chooses.',
    ),
    version_label: optional(name, 'Label of a version (TensorFlow Serving), in place of `version`.'),
    prompt: optional(prompt, 'How `{{prompt}}` is made of a conversation.'),
    inputs: optional(
      inputs,
      `Inputs of the model by name: what they get. ${variables[0]!.toUpperCase()}${variables.slice(1)}.`,
    ),
    parameters: optional(inputs, 'Parameters beside the inputs (KServe, Triton), as `inputs`.'),
    outputs: optional(outputs, 'Outputs of the model by name: what they are.'),
    echoes_prompt: withDefault(flag, false, 'Answers begin with the prompt: it is taken off.'),
    stream: optional(
      z.enum(['delta', 'whole', 'none']),
      'Pieces of a stream (Triton): each goes on where the last ended, or has all so far; or there are none. Left out: `delta`.',
    ),
    max_batch: withDefault(integer(1, 100_000), 256, 'Most texts in one request for vectors.'),
  })
  .meta({ id: 'Mapping' })

export const mappingField = optional(
  mappingSchema,
  'What a model server (`tensorflow_serving`, `kserve`, `triton`, `torchserve`) gets of a request, and what of its answer means what.',
)

const HEADER = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const headers = z.record(
  z.string().regex(HEADER, { error: 'is not an HTTP header name (RFC 9110 token)' }),
  longText.regex(/^[\t\x20-\x7e\x80-\xff]*$/, { error: 'holds a character that a header cannot carry' }),
)

const stepSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9_]{0,63}$/, { error: 'must be lower-case letters, digits and `_`, beginning with a letter' })
      .describe('As errors name it, and later steps: `{{steps.NAME.text}}`.'),
    url: z.string().describe('Of a service: where it takes JSON. Of a model server: as `base_url` of a provider.'),
    type: withDefault(
      z.enum(['http', 'tensorflow_serving', 'kserve', 'triton', 'torchserve']),
      'http',
      'A service of your own, or a model server.',
    ),
    model: optional(name, 'Of a model server.'),
    mapping: optional(mappingSchema, 'Of a model server. Templates know earlier steps, too.'),
    request: optional(template, `Of a service: the JSON that it gets; ${variables}, or of an earlier step.`),
    outputs: optional(
      z.record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), name),
      'Of a service: names for what stands where in its answer, such as `text: result.0.text`. Left out: `text: text`.',
    ),
    headers: optional(headers, 'Headers added to each call, such as a key.'),
    timeout: withDefault(duration, '0s', 'Of this step. `0s`: as long as the attempt may take.'),
    tls: section(
      {
        ca: optional(longText, 'Certificates to trust instead of the system’s, as PEM text.'),
        server_name: optional(name, 'Name expected in the certificate when it is not the host of `url`.'),
        verify: withDefault(flag, true, 'Check the certificate. Off only for tests.'),
      },
      'TLS towards the step.',
    ),
  })
  .meta({ id: 'Step' })

export const stepsField = optional(
  z.array(stepSchema).min(1).max(16),
  'Of `type: pipeline`: services that are called one after the other. The answer is what the last one gives as `text`.',
)
