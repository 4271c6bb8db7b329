import type { MappedDialect, MappingConfig, OutputRef, PromptConfig } from '../../contracts/config-mapping.ts'
import type { Json } from '../../contracts/canonical.ts'
import { markersOf, PROMPT_PRESETS } from './prompt.ts'

/** A preset, with the tokens that clients cannot say. Undefined = there is none of that name. */
export function presetPrompt(name: string): PromptConfig | undefined {
  if (!Object.hasOwn(PROMPT_PRESETS, name)) return undefined
  const preset = PROMPT_PRESETS[name]!
  const { begin, system, user, assistant, end } = preset
  return { template: name, ...preset, markers: markersOf([begin, system, user, assistant, end]) }
}

export const named = (name: string): OutputRef => ({ name, path: [] })

/** What a server with one usual form wants when the configuration says nothing; null = it must be said. */
export interface MappingDefaults {
  readonly inputs: Readonly<Record<string, Json>>
  readonly parameters: Readonly<Record<string, Json>>
  readonly text: string
  readonly stream: MappingConfig['stream']
}

const MUST_SAY: MappingDefaults = { inputs: {}, parameters: {}, text: '', stream: 'none' }

export const MAPPING_DEFAULTS: Readonly<Record<MappedDialect, MappingDefaults>> = {
  'tensorflow.predict': MUST_SAY,
  'kserve.infer': MUST_SAY,
  // As the vLLM backend has it; those of TensorRT-LLM are the same at the top level.
  'triton.generate': {
    inputs: { text_input: '{{prompt}}' },
    parameters: {
      max_tokens: '{{max_tokens}}',
      temperature: '{{temperature}}',
      top_p: '{{top_p}}',
      top_k: '{{top_k}}',
      seed: '{{seed}}',
    },
    text: 'text_output',
    stream: 'delta',
  },
  'torchserve.predict': MUST_SAY,
  pipeline: MUST_SAY,
}

/** Of nobody. */
export const NO_MAPPING: MappingConfig = {
  signature: '',
  version: '',
  versionLabel: '',
  prompt: presetPrompt('plain')!,
  inputs: [],
  parameters: [],
  outputs: { text: null, embedding: null, finish: null, inputTokens: null, outputTokens: null },
  echoesPrompt: false,
  stream: 'none',
  maxBatch: 1,
}
