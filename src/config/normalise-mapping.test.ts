import { expect, test } from 'vitest'
import type { ProviderConfig } from '../contracts/config.ts'
import { PRESETS } from '../providers/index.ts'
import { ConfigError, loadConfigText } from './index.ts'

const load = (provider: string): ProviderConfig =>
  loadConfigText(`providers:\n  tf: ${provider}\n`, { presets: PRESETS, env: {} }).config.providers[0]!

/** `path: message` of each problem. */
const problems = (provider: string): readonly string[] => {
  try {
    load(provider)
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(({ path, message }) => `${path.replace('providers.tf.', '')}: ${message}`)
    throw error
  }
  return []
}

const TF = 'type: tensorflow_serving, base_url: "http://tf:8501"'

test('the few lines of the promise are enough', () => {
  const { mapping, transport, baseUrl, wire, operations } = load(
    '{ type: tensorflow_serving, base_url: "grpc://tf-serving:8500", mapping: { inputs: { text: "{{prompt}}" }, outputs: { text: output } } }',
  )
  expect({ transport, baseUrl, wire, operations }).toEqual({
    transport: 'grpc',
    baseUrl: 'http://tf-serving:8500',
    wire: 'tensorflow.predict',
    operations: [],
  })
  expect(mapping!.inputs).toEqual([{ name: 'text', value: '{{prompt}}', type: 'string', shape: null, fallback: null }])
  expect(mapping!.outputs.text).toEqual({ name: 'output', path: [] })
})

test('grpcs is gRPC with TLS', () => {
  expect(
    load('{ type: kserve, base_url: "grpcs://x.example:443", mapping: { inputs: { a: 1 }, outputs: { text: o } } }'),
  ).toMatchObject({
    transport: 'grpc',
    baseUrl: 'https://x.example:443',
  })
})

test('triton needs nothing but an address', () => {
  const { mapping } = load('{ type: triton, base_url: "http://triton:8000" }')
  expect(mapping!.inputs.map(({ name, value }) => [name, value])).toEqual([['text_input', '{{prompt}}']])
  expect(mapping!.parameters.map(({ name }) => name)).toContain('max_tokens')
  expect(mapping).toMatchObject({ stream: 'delta', outputs: { text: { name: 'text_output' } } })
})

test('types are decided once: by the variable, unless they are said', () => {
  const { mapping } = load(
    `{ ${TF}, mapping: { inputs: { a: "{{temperature}}", b: "{{seed}}", c: 5, d: 0.5, e: true, f: "x {{max_tokens}}", g: { value: "{{max_tokens}}", type: string } }, outputs: { text: o } } }`,
  )
  expect(mapping!.inputs.map(({ type }) => type)).toEqual([
    'float',
    'int64',
    'int32',
    'float',
    'bool',
    'string',
    'string',
  ])
})

test.each([
  [
    'a variable that is misspelt',
    `{ ${TF}, mapping: { inputs: { text: "{{promt}}" }, outputs: { text: o } } }`,
    'mapping.inputs.text: there is no variable `promt`; did you mean `prompt`?',
  ],
  [
    'braces that do not close',
    `{ ${TF}, mapping: { inputs: { text: "{{prompt}" }, outputs: { text: o } } }`,
    'mapping.inputs.text: holds `{{` or `}}` that belong to no variable: write `{{name}}`',
  ],
  [
    'no inputs',
    `{ ${TF}, mapping: { outputs: { text: o } } }`,
    'mapping: needs `inputs`: what the model gets of a request',
  ],
  [
    'no outputs',
    `{ ${TF}, mapping: { inputs: { text: "{{prompt}}" } } }`,
    'mapping: needs `outputs.text` or `outputs.embedding`: what the answer is',
  ],
  [
    'a default of another type',
    `{ ${TF}, mapping: { inputs: { n: { value: "{{max_tokens}}", type: int32, default: many } }, outputs: { text: o } } }`,
    'mapping.inputs.n.default: is no `int32`',
  ],
  [
    'a version and a label',
    `{ ${TF}, mapping: { version: 1, version_label: a, inputs: { t: x }, outputs: { text: o } } }`,
    'mapping.version_label: stands beside `version`: keep one of them',
  ],
  [
    'a version that is none',
    `{ ${TF}, mapping: { version: latest, inputs: { t: x }, outputs: { text: o } } }`,
    'mapping.version: must be a number; a name is `version_label`',
  ],
  [
    'two open dimensions',
    `{ ${TF}, mapping: { inputs: { t: { value: x, shape: [-1, -1] } }, outputs: { text: o } } }`,
    'mapping.inputs.t.shape: can hold one `-1` only',
  ],
  [
    'a dimension of nothing',
    `{ ${TF}, mapping: { inputs: { t: { value: x, shape: [0] } }, outputs: { text: o } } }`,
    'mapping.inputs.t.shape: has no room for anything',
  ],
  [
    'a stream where there is none',
    `{ ${TF}, mapping: { stream: delta, inputs: { t: x }, outputs: { text: o } } }`,
    'mapping.stream: only `triton` streams: of others the answer comes whole',
  ],
  [
    'a turn without what was said',
    `{ ${TF}, mapping: { prompt: { user: "User:" }, inputs: { t: x }, outputs: { text: o } } }`,
    'mapping.prompt.user: must hold `{{content}}`: what was said',
  ],
  [
    'a shape without tensors',
    '{ type: torchserve, base_url: "http://t:8080", mapping: { inputs: { t: { value: x, shape: [1] } }, outputs: { text: . } } }',
    'mapping.inputs.t.shape: has no meaning here: only tensors have a shape',
  ],
  [
    'a signature elsewhere',
    '{ type: kserve, base_url: "http://t:8080", mapping: { signature: s, inputs: { t: x }, outputs: { text: o } } }',
    'mapping.signature: only TensorFlow Serving has such',
  ],
  [
    'a mapping of a chat API',
    '{ type: openai_compatible, base_url: "http://t:8080/v1", mapping: { inputs: { t: x } } }',
    'mapping: type `openai_compatible` speaks of chats itself: it needs none',
  ],
  [
    'gRPC to those who do not speak it',
    '{ type: triton, base_url: "grpc://t:8001" }',
    'base_url: gRPC is spoken to `tensorflow_serving` and `kserve` only: use http or https',
  ],
  [
    'mutual TLS by gRPC',
    `{ type: kserve, base_url: "grpcs://t:1", tls: { svid: true }, mapping: { inputs: { t: x }, outputs: { text: o } } }`,
    'tls.svid: is not used for gRPC: let the proxy of the mesh speak mutual TLS, with `grpc://`',
  ],
  [
    'a proxy and gRPC',
    `{ type: kserve, base_url: "grpcs://t:1", egress: { mode: connect-proxy, proxy: "http://p:1" }, mapping: { inputs: { t: x }, outputs: { text: o } } }`,
    'egress.mode: `connect-proxy` is for HTTP: gRPC goes `direct-tls` or by the `egress-gateway`',
  ],
  [
    'a variable whose type nobody knows',
    '{ type: kserve, base_url: "grpc://t:1", mapping: { inputs: { t: { value: ["{{prompt}}", 1] } }, outputs: { text: o } } }',
    'mapping.inputs.t: needs `type`: what the variable holds does not say which',
  ],
  [
    'steps of what is no pipeline',
    `{ ${TF}, mapping: { inputs: { t: x }, outputs: { text: o } }, steps: [{ name: a, url: "http://a", request: {} }] }`,
    'steps: only `type: pipeline` has steps',
  ],
  ['a pipeline without steps', '{ type: pipeline }', 'providers.tf: type `pipeline` needs `steps`'],
  [
    'a pipeline with a key',
    '{ type: pipeline, api_key: k, steps: [{ name: a, url: "http://a", request: {} }] }',
    'api_key: a pipeline has none of its own: its steps have',
  ],
  [
    'a later step',
    '{ type: pipeline, steps: [{ name: a, url: "http://a", request: "{{steps.b.text}}" }, { name: b, url: "http://b", request: "{{steps.a.text}}" }] }',
    'steps[0].request: there is no variable `steps.b.text`',
  ],
  [
    'a name that stands twice',
    '{ type: pipeline, steps: [{ name: a, url: "http://a", request: {} }, { name: a, url: "http://b", request: {} }] }',
    'steps[1].name: stands here twice',
  ],
  [
    'a last step that gives no answer',
    '{ type: pipeline, steps: [{ name: a, url: "http://a", request: {}, outputs: { label: x } }] }',
    'steps[0].outputs: the last step must give `text` or `embedding`',
  ],
  [
    'a key in clear',
    '{ type: pipeline, steps: [{ name: a, url: "http://a.example", headers: { authorization: x }, request: {} }] }',
    'steps[0].url: is not encrypted, and the key in `headers` would cross the network in clear: use https or grpcs',
  ],
  [
    'a key in clear by gRPC',
    '{ type: kserve, base_url: "grpc://models.example.com:80", api_key: k, mapping: { inputs: { t: x }, outputs: { text: o } } }',
    'base_url: is not encrypted, and the key would cross the network in clear',
  ],
])('%s is told with its place', (_what, provider, problem) => {
  expect(problems(provider).map((one) => one.slice(0, problem.length))).toContain(problem)
})

test('a batch needs a place that grows', () => {
  const batch = (inputs: string): number =>
    load(`{ ${TF}, mapping: { inputs: ${inputs}, outputs: { embedding: v } } }`).mapping!.maxBatch
  expect(batch('{ text: "{{input}}" }')).toBe(256)
  expect(batch('{ text: { value: "{{input}}", shape: [] } }')).toBe(1)
  expect(batch('{ text: { value: "q: {{input}}", shape: [-1, 1] } }')).toBe(256)
})

test('steps beside us get the trace, steps elsewhere do not', () => {
  const { pipeline } = load(
    '{ type: pipeline, steps: [{ name: a, url: "http://cleaner:80/x?y=1", request: {} }, { name: b, url: "https://api.example.com/", request: "{{steps.a.text}}" }] }',
  )
  expect(pipeline!.steps.map(({ inMesh, origin, path }) => [inMesh, origin, path])).toEqual([
    [true, 'http://cleaner', '/x?y=1'],
    [false, 'https://api.example.com', ''],
  ])
})
