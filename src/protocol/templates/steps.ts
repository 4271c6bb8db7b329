import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { StepConfig } from '../../contracts/config-mapping.ts'
import { isObject } from '../canonical/read.ts'
import { findOutput, toldOf, usageOf, vectorsOf } from './outputs.ts'
import { Plan } from './plan.ts'
import { fill, readTemplate, type Template } from './template.ts'
import { askedOf, Trimmer } from './trim.ts'
import { NamedVariables } from './variables.ts'
import { CODECS } from './wires.ts'

export interface StepRequest {
  readonly path: string
  readonly body: Buffer
}

/** What a step gave, by name. */
export type StepOutputs = ReadonlyMap<string, Json>

/** What is sent to a step, and what its answer gives to the steps after it. Stateless. */
export interface StepCodec {
  /** Throws GatewayError when the step cannot be told. */
  request(variables: ReadonlyMap<string, Json>): StepRequest
  /** Null = the answer has not what it should. */
  read(body: Buffer, variables: ReadonlyMap<string, Json>): StepOutputs | null
}

/** JSON, or else text: what a service answers is its own business. */
function parsed(body: Buffer): Json {
  const text = body.toString()
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}

/** Of a service of its own. */
class ServiceCodec implements StepCodec {
  readonly #step: StepConfig
  readonly #template: Template

  constructor(step: StepConfig) {
    this.#step = step
    this.#template = readTemplate(step.request)
  }

  request(variables: ReadonlyMap<string, Json>): StepRequest {
    const body = fill(this.#template, new NamedVariables(variables)) ?? null
    return { path: this.#step.path, body: Buffer.from(JSON.stringify(body)) }
  }

  read(body: Buffer): StepOutputs | null {
    const answer = parsed(body)
    const found = new Map<string, Json>()
    for (const [name, ref] of Object.entries(this.#step.outputs)) {
      const value = findOutput(ref, (key) =>
        key === '' ? answer : isObject(answer) && Object.hasOwn(answer, key) ? answer[key] : undefined,
      )
      if (value !== undefined && value !== null) found.set(name, value)
    }
    // What a service counts may be left out; what it is asked for may not.
    return found.size === 0 || ('text' in this.#step.outputs && !found.has('text')) ? null : found
  }
}

/** Of a model server. */
class ServerStepCodec implements StepCodec {
  readonly #step: StepConfig
  readonly #server: NonNullable<StepConfig['server']>
  readonly #plan: Plan

  constructor(step: StepConfig, server: NonNullable<StepConfig['server']>) {
    this.#step = step
    this.#server = server
    this.#plan = new Plan(server.mapping)
  }

  request(variables: ReadonlyMap<string, Json>): StepRequest {
    const { wire, mapping, model } = this.#server
    const codec = CODECS[wire]
    const body: JsonObject = codec.body(this.#plan, new NamedVariables(variables), 1)
    return { path: this.#step.path + codec.path(mapping, model, false), body: Buffer.from(JSON.stringify(body)) }
  }

  read(body: Buffer, variables: ReadonlyMap<string, Json>): StepOutputs | null {
    const { wire, mapping } = this.#server
    const lookup = CODECS[wire].lookup(parsed(body))
    if (lookup === null) return null
    const found = new Map<string, Json>()
    const told = toldOf(mapping, lookup)
    if (told !== null) {
      const echo = mapping.echoesPrompt ? this.#plan.firstText(new NamedVariables(variables)) : ''
      const trimmer = new Trimmer(askedOf({}, echo))
      found.set('text', trimmer.push(told.text) + trimmer.end())
      found.set('finish', told.reason)
    }
    const vector = vectorsOf(mapping, lookup, 1)?.[0]
    if (vector !== undefined) found.set('embedding', vector)
    const usage = usageOf(mapping, lookup)
    if (usage !== null) {
      found.set('input_tokens', usage.inputTokens)
      found.set('output_tokens', usage.outputTokens)
    }
    return found.has('text') || found.has('embedding') ? found : null
  }
}

export const stepCodec = (step: StepConfig): StepCodec =>
  step.server === null ? new ServiceCodec(step) : new ServerStepCodec(step, step.server)
