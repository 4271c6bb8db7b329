import type { Json } from '../contracts/canonical.ts'
import type { MappingConfig, PipelineConfig } from '../contracts/config-mapping.ts'

const MASK = '***'
/** By its name: what a body is told beside the request may be a key. */
const SECRET = /auth|key|token(?!s)|secret|passw|credential|signature/i

/** Values whose names say that they are secrets, unless they are made of the request. */
function maskJson(value: Json, secret = false): Json {
  if (typeof value === 'string') return secret && !value.includes('{{') ? MASK : value
  if (Array.isArray(value)) return value.map((item) => maskJson(item, secret))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, maskJson(item, secret || SECRET.test(name))]),
  )
}

const maskInputs = (inputs: MappingConfig['inputs']): MappingConfig['inputs'] =>
  inputs.map((input) => {
    const secret = SECRET.test(input.name)
    return { ...input, value: maskJson(input.value, secret), fallback: maskJson(input.fallback, secret) }
  })

/** A mapping fit for a dump. */
export const maskMapping = (mapping: MappingConfig): MappingConfig => ({
  ...mapping,
  inputs: maskInputs(mapping.inputs),
  parameters: maskInputs(mapping.parameters),
})

/** Steps of a pipeline fit for a dump: headers, which hold keys, and queries are `***`, and so is what is named like a key. */
export const maskPipeline = (pipeline: PipelineConfig): PipelineConfig => ({
  ...pipeline,
  steps: pipeline.steps.map((step) => ({
    ...step,
    headers: Object.fromEntries(Object.keys(step.headers).map((name) => [name, MASK])),
    path: step.path.replace(/\?.*$/s, `?${MASK}`),
    request: maskJson(step.request),
    server: step.server === null ? null : { ...step.server, mapping: maskMapping(step.server.mapping) },
  })),
})
