import type { z } from 'zod'
import type { Json } from '../contracts/canonical.ts'
import type { InputConfig, MappedDialect, MappingConfig, OutputRef, PromptConfig } from '../contracts/config-mapping.ts'
import { MAPPING_DEFAULTS, named, presetPrompt } from '../protocol/templates/defaults.ts'
import { typeOfInput } from '../protocol/templates/plan.ts'
import { markersOf } from '../protocol/templates/prompt.ts'
import { readTemplate, strayBraces, variablesIn } from '../protocol/templates/template.ts'
import { coerce } from '../protocol/templates/tensor.ts'
import { VARIABLE_NAMES } from '../protocol/templates/variables.ts'
import { didYouMean } from './nearest.ts'
import type { Path } from './problem.ts'
import type { ProviderContext } from './providers.ts'
import type { mappingSchema } from './schema-mapping.ts'

export type MappingEntry = z.output<typeof mappingSchema>
type Inputs = NonNullable<MappingEntry['inputs']>

/** Where a mapping stands, and what it may say there. */
export interface MappingPlace {
  readonly wire: MappedDialect
  readonly context: Pick<ProviderContext, 'map' | 'problems'>
  readonly path: Path
  /** Called by gRPC: types of inputs must be known before a request. */
  readonly typed: boolean
  /** Variables beside those of a request. */
  readonly more: readonly string[]
}

/** Notes a fault. */
export const fault = (
  { context, path }: MappingPlace,
  below: Path,
  message: string,
  at: 'key' | 'value' = 'value',
): void => void context.problems.push(context.map.problem([...path, ...below], message, at))

/** Variables that exist, or a problem that names the nearest. */
export function checkTemplate(value: unknown, below: Path, place: MappingPlace): void {
  const source = value as Json
  if (strayBraces(source)) {
    fault(place, below, 'holds `{{` or `}}` that belong to no variable: write `{{name}}`')
    return
  }
  const known = [...VARIABLE_NAMES, ...place.more]
  for (const name of variablesIn(readTemplate(source)))
    if (!known.includes(name)) {
      const hint = didYouMean(name, known)
      fault(place, below, `there is no variable \`${name}\`${hint === '' ? `; known: ${known.join(', ')}` : hint}`)
    }
}

const TENSORS: ReadonlySet<MappedDialect> = new Set<MappedDialect>(['tensorflow.predict', 'kserve.infer'])

function toInputs(inputs: Inputs, key: 'inputs' | 'parameters', place: MappingPlace): readonly InputConfig[] {
  return Object.entries(inputs).map(([name, entry]) => {
    const long = typeof entry === 'object' ? entry : { value: entry }
    const at: Path = typeof entry === 'object' ? [key, name, 'value'] : [key, name]
    checkTemplate(long.value, at, place)
    const input: InputConfig = {
      name,
      value: long.value as Json,
      type: ('type' in long ? long.type : undefined) ?? null,
      shape: ('shape' in long ? long.shape : undefined) ?? null,
      fallback: (('default' in long ? long.default : undefined) ?? null) as Json,
    }
    checkInput(input, key, place)
    // Decided once: the two ways to call a server must not differ in it.
    return { ...input, type: TENSORS.has(place.wire) ? typeOfInput(input) : input.type }
  })
}

function checkInput(input: InputConfig, key: 'inputs' | 'parameters', place: MappingPlace): void {
  const { name, shape, type, fallback } = input
  if (shape !== null && (!TENSORS.has(place.wire) || key === 'parameters'))
    fault(place, [key, name, 'shape'], 'has no meaning here: only tensors have a shape', 'key')
  if (shape?.includes(0) === true) fault(place, [key, name, 'shape'], 'has no room for anything')
  if (place.typed && key === 'inputs' && typeOfInput(input) === null)
    fault(place, [key, name], 'needs `type`: what the variable holds does not say which', 'key')
  if (type === null || fallback === null || JSON.stringify(fallback).includes('{{')) return
  try {
    for (const value of Array.isArray(fallback) ? fallback.flat(8) : [fallback]) coerce(value, type, name)
  } catch {
    fault(place, [key, name, 'default'], `is no \`${type}\``)
  }
}

/** `a.0.b` as keys and list places. */
export const pathOf = (text: string): readonly (string | number)[] =>
  text.split('.').map((part) => (/^\d{1,6}$/.test(part) ? Number(part) : part))

/** Of tensors the text is a name, whatever it holds; of JSON it is where it stands, `.` = all of it. */
export function toRef(
  entry: string | { readonly name: string; readonly path?: string | undefined },
  wire: MappedDialect,
): OutputRef {
  if (typeof entry !== 'string') return { name: entry.name, path: entry.path === undefined ? [] : pathOf(entry.path) }
  if (TENSORS.has(wire)) return named(entry)
  return entry === '.' ? named('') : { name: '', path: pathOf(entry) }
}

function toOutputs(entry: MappingEntry['outputs'], place: MappingPlace): MappingConfig['outputs'] {
  const { wire } = place
  const usual = MAPPING_DEFAULTS[wire].text
  const ref = (value: NonNullable<MappingEntry['outputs']>['text']): OutputRef | null =>
    value === undefined ? null : toRef(value, wire)
  const outputs = {
    text: ref(entry?.text) ?? (usual === '' || entry?.embedding !== undefined ? null : named(usual)),
    embedding: ref(entry?.embedding),
    finish: ref(entry?.finish),
    inputTokens: ref(entry?.input_tokens),
    outputTokens: ref(entry?.output_tokens),
  }
  if (outputs.text === null && outputs.embedding === null)
    fault(
      place,
      entry === undefined ? [] : ['outputs'],
      'needs `outputs.text` or `outputs.embedding`: what the answer is',
      'key',
    )
  return outputs
}

const LINES = ['begin', 'system', 'user', 'assistant', 'end'] as const
const SPEAKING: ReadonlySet<string> = new Set(['system', 'user', 'assistant'])

export function toPrompt(entry: MappingEntry['prompt'], place: MappingPlace): PromptConfig {
  const preset = presetPrompt(entry?.template ?? 'plain')!
  if (entry === undefined) return preset
  const own = LINES.filter((line) => entry[line] !== undefined)
  for (const line of own) {
    const text = entry[line]!
    if (SPEAKING.has(line) !== text.includes('{{content}}'))
      fault(
        place,
        ['prompt', line],
        SPEAKING.has(line) ? 'must hold `{{content}}`: what was said' : 'cannot hold `{{content}}`: nobody speaks here',
      )
    else if (strayBraces(text.replaceAll('{{content}}', '')) || /\{\{(?!content\}\})/.test(text))
      fault(place, ['prompt', line], 'knows no variable but `{{content}}`')
  }
  if (own.length === 0) return preset
  const lines = Object.fromEntries(LINES.map((line) => [line, entry[line] ?? preset[line]])) as Record<
    (typeof LINES)[number],
    string
  >
  return { ...preset, template: 'custom', ...lines, loneAsIs: false, markers: markersOf(Object.values(lines)) }
}

/** A batch needs a place that grows with it. */
function batchOf(inputs: readonly InputConfig[], entry: MappingEntry, { wire }: MappingPlace): number {
  const grows = ({ value, shape }: InputConfig): boolean => {
    const names = variablesIn(readTemplate(value))
    if (!TENSORS.has(wire)) return names.has('inputs')
    return (names.has('input') || names.has('prompt') || names.has('user')) && (shape === null || shape.includes(-1))
  }
  return inputs.some(grows) ? entry.max_batch : 1
}

/** `mapping` of a model server. */
export function toMapping(entry: MappingEntry, place: MappingPlace): MappingConfig {
  const defaults = MAPPING_DEFAULTS[place.wire]
  const inputs = toInputs((entry.inputs ?? defaults.inputs) as Inputs, 'inputs', place)
  if (inputs.length === 0) fault(place, [], 'needs `inputs`: what the model gets of a request', 'key')
  const unsaid = entry.inputs === undefined ? defaults.parameters : {}
  if (place.wire !== 'tensorflow.predict') {
    for (const key of ['signature', 'version_label'] as const)
      if (entry[key] !== undefined) fault(place, [key], 'only TensorFlow Serving has such', 'key')
  } else if (entry.parameters !== undefined)
    fault(place, ['parameters'], 'TensorFlow Serving has none: use `inputs`', 'key')
  if (entry.version !== undefined && entry.version_label !== undefined)
    fault(place, ['version_label'], 'stands beside `version`: keep one of them', 'key')
  const version = String(entry.version ?? '')
  if (place.wire === 'tensorflow.predict' && !/^\d{0,18}$/.test(version))
    fault(place, ['version'], 'must be a number; a name is `version_label`')
  if (entry.stream !== undefined && place.wire !== 'triton.generate')
    fault(place, ['stream'], 'only `triton` streams: of others the answer comes whole', 'key')
  return {
    signature: entry.signature ?? '',
    version,
    versionLabel: entry.version_label ?? '',
    prompt: toPrompt(entry.prompt, place),
    inputs,
    parameters: toInputs((entry.parameters ?? unsaid) as Inputs, 'parameters', place),
    outputs: toOutputs(entry.outputs, place),
    echoesPrompt: entry.echoes_prompt,
    stream: entry.stream ?? defaults.stream,
    maxBatch: batchOf(inputs, entry, place),
  }
}
