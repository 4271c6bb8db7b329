import type { Json } from '../contracts/canonical.ts'
import type { MappedDialect, MappingConfig, PipelineConfig, StepConfig } from '../contracts/config-mapping.ts'
import { named } from '../protocol/templates/defaults.ts'
import { Plan } from '../protocol/templates/plan.ts'
import { readTemplate, variablesIn } from '../protocol/templates/template.ts'
import { isLoopback } from '../core/loopback.ts'
import { toClass } from './normalise-egress.ts'
import { checkTemplate, fault, pathOf, toMapping, toPrompt, type MappingPlace } from './normalise-mapping.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'
import { mappingSchema } from './schema-mapping.ts'
import { transportOf } from './transport.ts'

type StepEntry = NonNullable<ProviderEntry['steps']>[number]

const WIRES: Readonly<Record<Exclude<StepEntry['type'], 'http'>, MappedDialect>> = {
  tensorflow_serving: 'tensorflow.predict',
  kserve: 'kserve.infer',
  triton: 'triton.generate',
  torchserve: 'torchserve.predict',
}

/** By its name: a service may call its key what it likes. */
const SECRET = /auth|cookie|key|token|secret|passw|credential|signature/i
const GRPC: ReadonlySet<string> = new Set(['tensorflow_serving', 'kserve'])
/** What a model server gives to later steps. */
const SERVER_OUTPUTS = ['text', 'embedding', 'input_tokens', 'output_tokens'] as const

/** Names that later steps can use. */
const outputsOf = (step: StepEntry): readonly string[] =>
  step.type === 'http' ? Object.keys(step.outputs ?? { text: 'text' }) : SERVER_OUTPUTS

interface Target {
  readonly origin: string
  readonly transport: 'http' | 'grpc'
  readonly path: string
}

const NOWHERE: Target = { origin: 'http://localhost', transport: 'http', path: '' }

/** Where a step is called. */
function targetOf(step: StepEntry, place: MappingPlace): Target {
  const { transport, url: text } = transportOf(step.url)
  if (!URL.canParse(text) || !/^https?:\/\//.test(text)) {
    fault(place, ['url'], 'must be an absolute http, https, grpc or grpcs URL')
    return NOWHERE
  }
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') fault(place, ['url'], 'must not hold credentials; use `headers`')
  if (url.hash !== '') fault(place, ['url'], 'must not hold a fragment')
  if (transport === 'grpc' && !GRPC.has(step.type)) fault(place, ['url'], `type \`${step.type}\` is not called by gRPC`)
  if (step.type !== 'http' && url.search !== '') fault(place, ['url'], 'must not hold a query')
  return { origin: url.origin, transport, path: url.pathname.replace(/\/+$/, '') + url.search }
}

function checkKind(step: StepEntry, place: MappingPlace): void {
  const wrong = step.type === 'http' ? (['model', 'mapping'] as const) : (['request', 'outputs'] as const)
  for (const key of wrong)
    if (step[key] !== undefined) fault(place, [key], `has no meaning for a step of type \`${step.type}\``, 'key')
  if (step.type === 'http' && step.request === undefined)
    fault(place, [], 'needs `request`: the JSON that the service gets', 'key')
  if (step.type !== 'http' && step.model === undefined) fault(place, [], 'needs `model`', 'key')
  if (step.tls.ca !== undefined && !step.tls.ca.includes('-----BEGIN CERTIFICATE-----'))
    fault(place, ['tls', 'ca'], 'must be PEM text; `${file:/path/ca.pem}` reads it from a file')
}

function toStep(step: StepEntry, place: MappingPlace): StepConfig {
  checkKind(step, place)
  if (step.request !== undefined) checkTemplate(step.request, ['request'], place)
  const target = targetOf(step, place)
  const wire = step.type === 'http' ? null : WIRES[step.type]
  const keyed = Object.keys(step.headers ?? {}).some((header) => SECRET.test(header))
  const inMesh = toClass({ headers: step.headers } as ProviderEntry, 'http', target.origin, keyed) === 'mesh'
  if (keyed && !inMesh && target.origin.startsWith('http:') && !isLoopback(new URL(target.origin).hostname))
    fault(
      place,
      ['url'],
      'is not encrypted, and the key in `headers` would cross the network in clear: use https or grpcs',
    )
  const inner = { ...place, path: [...place.path, 'mapping'], typed: target.transport === 'grpc' }
  return {
    name: step.name,
    ...target,
    server:
      wire === null
        ? null
        : {
            wire,
            model: step.model ?? '',
            mapping: toMapping(step.mapping ?? mappingSchema.parse({}), { ...inner, wire }),
          },
    request: (step.request ?? null) as Json,
    outputs: Object.fromEntries(
      Object.entries(step.outputs ?? { text: 'text' }).map(([name, path]) => [
        name,
        path === '.' ? named('') : { name: '', path: pathOf(path) },
      ]),
    ),
    headers: Object.fromEntries(Object.entries(step.headers ?? {}).map(([key, value]) => [key.toLowerCase(), value])),
    timeoutMs: step.timeout,
    inMesh,
    tls: {
      ca: step.tls.ca ?? null,
      serverName: step.tls.server_name ?? null,
      rejectUnauthorized: step.tls.verify,
      svid: false,
      peers: [],
    },
  }
}

/** Of the request, that is: what earlier steps gave is known only when they have run. */
const requestVariables = ({ server, request }: StepConfig): Iterable<string> => {
  const names = server === null ? variablesIn(readTemplate(request)) : new Plan(server.mapping).variables
  return [...names].filter((name) => !name.startsWith('steps.'))
}

/** What the wire of a pipeline hands over: the variables that its steps name. */
function mappingOf({ steps, prompt }: PipelineConfig, vectors: boolean): MappingConfig {
  const names = [...new Set(steps.flatMap((step) => [...requestVariables(step)]))]
  return {
    signature: '',
    version: '',
    versionLabel: '',
    prompt,
    inputs: names.map((name) => ({ name, value: `{{${name}}}`, type: null, shape: null, fallback: null })),
    parameters: [],
    outputs: {
      text: named('text'),
      embedding: vectors ? named('embedding') : null,
      finish: named('finish'),
      inputTokens: named('input_tokens'),
      outputTokens: named('output_tokens'),
    },
    echoesPrompt: false,
    stream: 'none',
    maxBatch: names.includes('inputs') ? 256 : 1,
  }
}

export interface Pipelined {
  readonly pipeline: PipelineConfig
  readonly mapping: MappingConfig
}

/** `steps` of a provider of type `pipeline`. path: of the provider's entry. */
export function toPipeline(entry: ProviderEntry, path: Path, context: ProviderContext): Pipelined {
  const place = (below: Path, more: readonly string[]): MappingPlace => ({
    wire: 'pipeline',
    context,
    path: [...path, ...below],
    typed: false,
    more,
  })
  const top = place([], [])
  if (entry.steps === undefined) fault(top, [], 'type `pipeline` needs `steps`', 'key')
  for (const key of ['base_url', 'api_key', 'credentials', 'discovery', 'headers', 'query'] as const)
    if (entry[key] !== undefined) fault(top, [key], 'a pipeline has none of its own: its steps have', 'key')
  const { prompt, ...others } = entry.mapping ?? mappingSchema.parse({})
  for (const key of ['inputs', 'outputs', 'parameters', 'version', 'signature'] as const)
    if (others[key] !== undefined) fault(place(['mapping'], []), [key], 'of a pipeline only `prompt` counts', 'key')
  const known: string[] = []
  const seen = new Set<string>()
  const steps = (entry.steps ?? []).map((step, i) => {
    const at = place(['steps', i], [...known])
    if (seen.has(step.name)) fault(at, ['name'], 'stands here twice')
    seen.add(step.name)
    const made = toStep(step, at)
    known.push(...outputsOf(step).map((name) => `steps.${step.name}.${name}`))
    return made
  })
  const last = entry.steps?.at(-1)
  const given = last === undefined ? [] : outputsOf(last)
  if (last !== undefined && !given.includes('text') && !given.includes('embedding'))
    fault(
      place(['steps', entry.steps!.length - 1], []),
      ['outputs'],
      'the last step must give `text` or `embedding`',
      'key',
    )
  const pipeline = { prompt: toPrompt(prompt, place(['mapping'], [])), steps }
  return { pipeline, mapping: mappingOf(pipeline, given.includes('embedding')) }
}
