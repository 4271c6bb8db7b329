import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { InputConfig, MappingConfig, TensorType } from '../../contracts/config-mapping.ts'
import type { Feature, Support } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import { FEATURES } from '../canonical/features.ts'
import { fill, readTemplate, variablesIn, type Template } from './template.ts'
import { coerce, fitShape, MAX_RANK, typeOfValue, type Tensor } from './tensor.ts'
import { EmbedVariables, featuresOfVariable, type Variables } from './variables.ts'

interface PlannedInput {
  readonly config: InputConfig
  readonly template: Template
  /** Null = as the value turns out. */
  readonly type: TensorType | null
}

/** Types of variables, where they do not show: a temperature of 1 is none the less no whole number. */
const TYPES: Readonly<Record<string, TensorType>> = {
  temperature: 'float',
  top_p: 'float',
  min_p: 'float',
  frequency_penalty: 'float',
  presence_penalty: 'float',
  repetition_penalty: 'float',
  max_tokens: 'int32',
  top_k: 'int32',
  dimensions: 'int32',
  seed: 'int64',
}

/** What earlier steps gave can be anything, but for their texts. */
const typeOfVariable = (name: string): TensorType | null =>
  Object.hasOwn(TYPES, name) ? TYPES[name]! : name.includes('.') && !name.endsWith('.text') ? null : 'string'

/** The type that an input has whatever the request is; null = that depends on it. */
export function typeOfInput({ type, value }: InputConfig): TensorType | null {
  if (type !== null) return type
  const template = readTemplate(value)
  if (template.kind === 'variable') return typeOfVariable(template.name)
  if (template.kind === 'text') return 'string'
  if (template.kind === 'value' && !Array.isArray(value)) return typeOfValue(value)
  return null
}

/** A mapping whose templates have been read. */
export class Plan {
  readonly mapping: MappingConfig
  readonly #inputs: readonly PlannedInput[]
  readonly #parameters: readonly PlannedInput[]
  /** Names of all variables that it uses. */
  readonly variables: ReadonlySet<string>

  constructor(mapping: MappingConfig) {
    this.mapping = mapping
    const planned = (config: InputConfig): PlannedInput => ({
      config,
      template: readTemplate(config.value),
      type: typeOfInput(config),
    })
    this.#inputs = mapping.inputs.map(planned)
    this.#parameters = mapping.parameters.map(planned)
    const found = new Set<string>()
    for (const { template } of [...this.#inputs, ...this.#parameters]) variablesIn(template, found)
    this.variables = found
  }

  /** For servers of tensors. Throws GatewayError when a value does not fit its type or shape. */
  tensors(variables: Variables, count: number): readonly Tensor[] {
    const tensors: Tensor[] = []
    for (const input of this.#inputs) {
      const tensor = tensorOf(input, variables, count)
      if (tensor !== null) tensors.push(tensor)
    }
    return tensors
  }

  /** The first text that the model gets: what it repeats, where it does. '' = it gets none. */
  firstText(variables: Variables): string {
    for (const { template } of this.#inputs) {
      const value = fill(template, variables)
      if (typeof value === 'string') return value
    }
    return ''
  }

  /** For servers of plain JSON: inputs and parameters by name. */
  fields(variables: Variables, which: 'inputs' | 'parameters'): JsonObject {
    const entries: [string, Json][] = []
    for (const { config, template, type } of which === 'inputs' ? this.#inputs : this.#parameters) {
      const value = fill(template, variables) ?? config.fallback
      if (value === null) continue
      entries.push([config.name, config.type === null || type === null ? value : coerceAll(value, type, config.name)])
    }
    return Object.fromEntries(entries)
  }
}

const coerceAll = (value: Json, type: TensorType, name: string): Json =>
  Array.isArray(value) ? value.map((item) => coerceAll(item, type, name)) : coerce(value, type, name)

/** Values of all texts of a batch one after the other. Null = the request has none for it. */
function tensorOf({ config, template, type }: PlannedInput, variables: Variables, count: number): Tensor | null {
  const { name, shape, fallback } = config
  // A shape without an open dimension has room for one value, whatever the batch.
  const times = shape === null || shape.includes(-1) ? count : 1
  const data: Json[] = []
  let width = -1
  for (let i = 0; i < times; i++) {
    if (variables instanceof EmbedVariables) variables.at = i
    const value = fill(template, variables) ?? fallback
    if (value === null) return null
    const before = data.length
    if (Array.isArray(value)) for (const item of value.flat(MAX_RANK)) data.push(item)
    else data.push(value)
    if (Array.isArray(value)) width = data.length - before
  }
  const kind = type ?? typeOfValue(data[0] ?? '')
  const wanted = shape ?? (width < 0 ? [-1] : [times, width])
  const fitted = fitShape(wanted, data.length)
  if (fitted === null)
    throw new GatewayError('invalid_request', `The model's input '${name}' has no room for what the request says.`, {
      param: name,
      detail: `${data.length} values for shape [${wanted.join(', ')}]`,
    })
  return { name, type: kind, shape: fitted, data: data.map((value) => coerce(value, kind, name)) }
}

const BY_TEMPLATE = 'Where the mapping has a place for it.'
const NOTES: Readonly<Partial<Record<Feature, string>>> = {
  system: 'By the prompt’s template.',
  system_inside: 'By the prompt’s template, where they stand.',
  prefill: 'The prompt ends with it.',
  stop: 'Heddle cuts the answer; the model does not know of it unless the mapping tells it.',
}

/** What a mapping with these variables carries. documented: of some mapping or other. */
export function carriesOf(variables: ReadonlySet<string>, documented = false): Readonly<Record<Feature, Support>> {
  const carried = new Set<Feature>(['stop'])
  for (const name of variables) for (const feature of featuresOfVariable(name)) carried.add(feature)
  const rows: Partial<Record<Feature, Support>> = {}
  for (const feature of Object.keys(FEATURES) as Feature[]) {
    const note = NOTES[feature]
    if (!carried.has(feature)) rows[feature] = 'no'
    else if (note !== undefined) rows[feature] = { mapped: note }
    else rows[feature] = documented ? { mapped: BY_TEMPLATE } : 'yes'
  }
  return rows as Record<Feature, Support>
}
