/** What the simulated model servers serve: a model with tensors in and tensors out, which thinks with the brain of all others. */
import type { Json } from '../contracts/canonical.ts'
import { embed } from './brain-embed.ts'
import { think } from './brain.ts'
import type { Prompt } from './prompt.ts'
import { countTokens, tokenize } from './tokens.ts'

/** Elements row by row. */
export interface SimTensor {
  readonly type: 'string' | 'int32' | 'float' | 'half'
  readonly shape: readonly number[]
  readonly data: readonly Json[]
}

export type SimInputs = ReadonlyMap<string, Omit<SimTensor, 'type'>>
export type SimOutputs = ReadonlyMap<string, SimTensor>

/** A server's refusal. code: of gRPC. */
export class ServingError extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export interface ServingOptions {
  /** What answers depend on beside the prompt; default 1. */
  readonly seed: number
}

export const DIMENSIONS = 16
const MOST_TOKENS = 4096

/** Names of models that fail, whatever they are asked. */
const FAILING: Readonly<Record<string, readonly [code: number, message: string]>> = {
  missing: [5, 'Servable not found for request: Latest(missing)'],
  busy: [14, 'Servable is overloaded'],
  exhausted: [8, 'Queue is full'],
  denied: [7, 'Permission denied'],
  broken: [13, 'Session was not created with a graph before Run()!'],
}

/** Names of the input that has the texts. */
const TEXTS = ['text', 'text_input', 'prompt', 'data', 'inputs', 'INPUT']
const LENGTHS = ['max_len', 'max_tokens', 'max_new_tokens']

const firstOf = (inputs: SimInputs, names: readonly string[]): Omit<SimTensor, 'type'> | undefined => {
  for (const name of names) {
    const found = inputs.get(name)
    if (found !== undefined) return found
  }
  return undefined
}

const promptOf = (text: string, model: string, maxTokens: number | undefined): Prompt => ({
  model,
  messages: [{ role: 'user', text, media: [], calls: [] }],
  tools: [],
  toolChoice: { mode: 'none' },
  parallel: true,
  format: { type: 'text' },
  seed: 0,
  stop: [],
  maxTokens,
  minTokens: 0,
  effort: undefined,
  thinks: false,
  suffix: '',
})

export interface Said {
  readonly text: string
  readonly finish: string
  readonly promptTokens: number
  readonly tokens: number
}

/** The answer to one text. A model whose name begins with `echo` repeats the text before it. */
export function say(text: string, model: string, maxTokens: number | undefined, { seed }: ServingOptions): Said {
  const thought = think(promptOf(text, 'sim', maxTokens), seed)
  const answer = thought.text ?? ''
  return {
    text: model.startsWith('echo') ? text + answer : answer,
    finish: thought.finish,
    promptTokens: countTokens(text),
    tokens: thought.visibleTokens,
  }
}

/** As a model server cuts an answer for its stream. */
export const pieces = (text: string): readonly string[] => tokenize(text)

const textsOf = (inputs: SimInputs): Omit<SimTensor, 'type'> => {
  const found = firstOf(inputs, TEXTS)
  if (found === undefined)
    throw new ServingError(3, `input must be equal to signature: one of ${TEXTS.join(', ')} is required`)
  if (!found.data.every((value) => typeof value === 'string'))
    throw new ServingError(3, 'the input of texts has another type than DT_STRING')
  return found
}

export const lengthOf = (value: Json | undefined): number | undefined => {
  if (value === undefined || value === null) return undefined
  const length = Number(value)
  if (!Number.isInteger(length) || length < 1 || length > MOST_TOKENS)
    throw new ServingError(3, `max_len must be a whole number from 1 to ${MOST_TOKENS}`)
  return length
}

/**
 * Runs the model. Outputs: `output` as the texts are shaped, `vector`, `finish`, `prompt_tokens`, `tokens`. A model whose name
 * begins with `lone` has `output` alone, with `half` vectors of half precision. Throws ServingError.
 */
export function predict(model: string, inputs: SimInputs, options: ServingOptions): SimOutputs {
  const failing = Object.hasOwn(FAILING, model) ? FAILING[model] : undefined
  if (failing !== undefined) throw new ServingError(...failing)
  const { shape, data } = textsOf(inputs)
  const maxTokens = lengthOf(firstOf(inputs, LENGTHS)?.data[0])
  const said = data.map((text) => say(String(text), model, maxTokens, options))
  const output: SimTensor = { type: 'string', shape, data: said.map(({ text }) => text) }
  const outputs = new Map<string, SimTensor>([['output', output]])
  if (model.startsWith('lone')) return outputs
  const count = said.length
  outputs.set('vector', {
    type: model.startsWith('half') ? 'half' : 'float',
    shape: [count, DIMENSIONS],
    data: data.flatMap((text) => [...embed(String(text), DIMENSIONS)]),
  })
  outputs.set('finish', { type: 'string', shape: [count], data: said.map(({ finish }) => finish) })
  outputs.set('prompt_tokens', { type: 'int32', shape: [count], data: said.map(({ promptTokens }) => promptTokens) })
  outputs.set('tokens', { type: 'int32', shape: [count], data: said.map(({ tokens }) => tokens) })
  return outputs
}
