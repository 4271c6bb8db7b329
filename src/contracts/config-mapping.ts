import type { Json } from './canonical.ts'
import type { ProviderTls } from './config.ts'

/** Types that inputs can have; each model server has its own names for them. */
export type TensorType = 'string' | 'int32' | 'int64' | 'float' | 'double' | 'bool'

/** Wires whose requests and answers are told by a mapping. */
export type MappedDialect =
  | 'tensorflow.predict'
  | 'kserve.infer'
  | 'triton.generate'
  | 'torchserve.predict'
  | 'pipeline'

/** One input of a model. */
export interface InputConfig {
  readonly name: string
  /** JSON in whose texts `{{variable}}` stands for something of the request. A text that is one variable alone keeps its type. */
  readonly value: Json
  /** Null = as the value is. */
  readonly type: TensorType | null
  /** -1 = what the values fill, the batch; [] = a scalar. Null = [-1], and for lists [-1, length]. */
  readonly shape: readonly number[] | null
  /** In place of a value whose variables the request does not have; null = the input is left out. */
  readonly fallback: Json
}

/** Where in an answer something stands. */
export interface OutputRef {
  /** Of the output; '' = the answer as a whole. */
  readonly name: string
  /** Below it: keys and list places. A text on the way is read as JSON. */
  readonly path: readonly (string | number)[]
}

/** How a conversation becomes one text. `{{content}}` stands for what was said. */
export interface PromptConfig {
  /** Preset that it comes from, or `custom`. */
  readonly template: string
  readonly begin: string
  readonly system: string
  readonly user: string
  readonly assistant: string
  /** After which the model answers. */
  readonly end: string
  /** Instructions stand inside of the first turn of the user. */
  readonly systemInUser: boolean
  /** A lone turn of the user, with no instructions, is the prompt as it is. */
  readonly loneAsIs: boolean
  /** Texts that mean something to the model: taken out of what clients say, who could else speak in another's name. */
  readonly markers: readonly string[]
}

export interface MappingConfig {
  /** Of a TensorFlow model; '' = the server's default. */
  readonly signature: string
  /** '' = as the server chooses. */
  readonly version: string
  /** Of TensorFlow Serving, in place of a version; '' = none. */
  readonly versionLabel: string
  readonly prompt: PromptConfig
  readonly inputs: readonly InputConfig[]
  /** Parameters of the request beside its inputs (KServe, Triton): templates as the inputs have. */
  readonly parameters: readonly InputConfig[]
  /** Null = the model gives none. */
  readonly outputs: {
    readonly text: OutputRef | null
    readonly embedding: OutputRef | null
    readonly finish: OutputRef | null
    readonly inputTokens: OutputRef | null
    readonly outputTokens: OutputRef | null
  }
  /** The answer begins with the prompt: it is taken off. */
  readonly echoesPrompt: boolean
  /** Pieces of a stream: `delta`, each goes on where the last ended; `whole`, each is the answer so far; `none`: it cannot stream. */
  readonly stream: 'delta' | 'whole' | 'none'
  /** Most texts of one call for vectors. */
  readonly maxBatch: number
}

/** One service of a pipeline. */
export interface StepConfig {
  /** As errors and later steps call it. */
  readonly name: string
  /** `http://host:port`, or https; no path. */
  readonly origin: string
  readonly transport: 'http' | 'grpc'
  /** Where it is called; of a model server what stands before the server's own paths. */
  readonly path: string
  /** Null = a service of its own: `request` is sent, JSON. */
  readonly server: { readonly wire: MappedDialect; readonly model: string; readonly mapping: MappingConfig } | null
  readonly request: Json
  /** What later steps find under `steps.NAME.`, of a service of its own. */
  readonly outputs: Readonly<Record<string, OutputRef>>
  readonly headers: Readonly<Record<string, string>>
  /** Ms; 0 = as long as the attempt may take. */
  readonly timeoutMs: number
  /** A workload beside us, which gets trace, request id and deadline. */
  readonly inMesh: boolean
  readonly tls: ProviderTls
}

export interface PipelineConfig {
  readonly prompt: PromptConfig
  readonly steps: readonly StepConfig[]
}
