// Model servers behind the API of chats: TensorFlow Serving, KServe v2, Triton and TorchServe, by REST and by gRPC, from
// clients of every kind. The servers are simulated; test/e2e/model-servers.e2e.test.ts has the real libraries at both ends.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { say } from '../../src/sim/serving-model.ts'
import { startServing, type SimServing } from '../../src/sim/serving-index.ts'
import { call, type Reply } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

let sim: SimServing
let second: SimServing
let gateway: Gateway

const TENSORS = '{ text: "{{prompt}}", max_len: { value: "{{max_tokens}}", type: int32 } }'
const OUTPUTS =
  '{ text: output, embedding: vector, finish: finish, input_tokens: prompt_tokens, output_tokens: tokens }'

/** One entry for each way to call a server. */
const WAYS = ['tf_grpc', 'tf_rest', 'v2_grpc', 'v2_rest', 'triton', 'torch'] as const

beforeAll(async () => {
  sim = await startServing()
  second = await startServing()
  const { url, grpcUrl } = sim
  gateway = await startGateway(`
providers:
  tf_grpc: { type: tensorflow_serving, base_url: "${grpcUrl}", mapping: { signature: serving_default, inputs: ${TENSORS}, outputs: ${OUTPUTS} } }
  tf_rest: { type: tensorflow_serving, base_url: "${url}", mapping: { signature: serving_default, inputs: ${TENSORS}, outputs: ${OUTPUTS} } }
  v2_grpc: { type: kserve, base_url: "${grpcUrl}", mapping: { inputs: ${TENSORS}, outputs: ${OUTPUTS} } }
  v2_rest: { type: kserve, base_url: "${url}", mapping: { inputs: ${TENSORS}, outputs: ${OUTPUTS} } }
  triton: { type: triton, base_url: "${url}" }
  torch: { type: torchserve, base_url: "${url}", mapping: { inputs: { data: "{{prompt}}", max_new_tokens: "{{max_tokens}}" }, outputs: { text: . } } }
  json: { type: torchserve, base_url: "${url}", mapping: { inputs: { data: "{{prompt}}" }, outputs: { text: 0.generated_text, output_tokens: 0.details.generated_tokens } } }
  vectors: { type: torchserve, base_url: "${url}", mapping: { inputs: { data: "{{inputs}}" }, outputs: { embedding: . } } }
  echo: { type: tensorflow_serving, base_url: "${grpcUrl}", mapping: { prompt: { template: chatml }, inputs: { text: "{{prompt}}" }, outputs: { text: output }, echoes_prompt: true } }
  shaped: { type: tensorflow_serving, base_url: "${url}", mapping: { version: 3, inputs: { text: { value: "{{prompt}}", shape: [-1, 1] } }, outputs: { text: output } } }
  labelled: { type: tensorflow_serving, base_url: "${url}", mapping: { version_label: stable, inputs: { text: { value: "{{prompt}}", shape: [] } }, outputs: { text: output } } }
  many:
    type: tensorflow_serving
    base_url: grpc://models.example:8500
    class: mesh
    discovery: { type: static, endpoints: [{ address: "127.0.0.1:${sim.grpcPort}" }, { address: "127.0.0.1:${second.grpcPort}" }] }
    balancing: { policy: round_robin }
    mapping: { inputs: ${TENSORS}, outputs: ${OUTPUTS} }
models:
  lenient: { targets: [tf_grpc/m], unsupported: drop }
  backed: [tf_grpc/busy, v2_rest/m]
`)
})

afterAll(async () => {
  await gateway.stop()
  await sim.close()
  await second.close()
})

const ask = (path: string, body: object, headers: Record<string, string> = {}): Promise<Reply> =>
  call(`${gateway.url}${path}`, { body, headers })

const chat = (model: string, more: object = {}): Promise<Reply> =>
  ask('/v1/chat/completions', {
    model,
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    ...more,
  })

interface ChatAnswer {
  readonly model: string
  readonly choices: readonly { readonly message: { readonly content: string }; readonly finish_reason: string }[]
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

const expected = (text = 'What is the capital of France?', model = 'm', maxTokens?: number): string =>
  say(text, model, maxTokens, { seed: 1 }).text

const events = (text: string): readonly unknown[] =>
  text
    .split('\n\n')
    .filter((part) => part.startsWith('data: {'))
    .map((part) => JSON.parse(part.slice(6)) as unknown)

test.each(WAYS)('%s: a chat is answered whole', async (way) => {
  const reply = await chat(`${way}/m`, { max_tokens: 5 })
  expect(reply).toMatchObject({ status: 200 })
  const { choices, usage } = reply.json() as ChatAnswer
  expect(choices[0]!.message.content).toBe(expected(undefined, 'm', 5))
  if (way !== 'torch' && way !== 'triton') {
    expect(choices[0]!.finish_reason).toBe('length')
    expect(usage).toMatchObject(
      say('What is the capital of France?', 'm', 5, { seed: 1 }).tokens > 0 ? { completion_tokens: 5 } : {},
    )
  }
})

test.each(WAYS)('%s: a chat is answered as a stream, whatever the server can', async (way) => {
  const reply = await chat(`${way}/m`, { stream: true })
  expect(reply).toMatchObject({ status: 200 })
  expect(reply.headers['content-type']).toContain('text/event-stream')
  const told = events(reply.text) as readonly { choices: readonly { delta: { content?: string } }[] }[]
  const text = told.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).join('')
  expect(text).toBe(expected())
  expect(reply.text.trimEnd()).toMatch(/data: \[DONE\]$/)
  // Triton's own pieces are passed as they come.
  expect(told.length > 6).toBe(way === 'triton')
})

test.each(['tf_grpc', 'v2_grpc'] as const)(
  '%s: completions, responses and messages are answered as well',
  async (way) => {
    const completion = await ask('/v1/completions', { model: `${way}/m`, prompt: 'What is the capital of France?' })
    expect(completion).toMatchObject({ status: 200 })
    expect((completion.json() as { choices: readonly { text: string }[] }).choices[0]!.text).toBe(expected())
    const response = await ask('/v1/responses', { model: `${way}/m`, input: 'What is the capital of France?' })
    expect(response).toMatchObject({ status: 200 })
    expect(JSON.stringify(response.json())).toContain(JSON.stringify(expected()))
    const message = await ask('/v1/messages', {
      model: `${way}/m`,
      max_tokens: 50,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
    })
    expect(message).toMatchObject({ status: 200 })
    expect((message.json() as { content: readonly { text: string }[] }).content[0]!.text).toBe(
      expected(undefined, 'm', 50),
    )
  },
)

test.each(['tf_grpc', 'tf_rest', 'v2_grpc', 'v2_rest', 'vectors'] as const)(
  '%s: vectors come in the order of their texts',
  async (way) => {
    const [first, second] = await Promise.all(
      [['a cat', 'a dog', 'a house'], 'a dog'].map((input) =>
        ask('/v1/embeddings', { model: `${way}/${way === 'vectors' ? 'embed' : 'm'}`, input }),
      ),
    )
    expect(first!).toMatchObject({ status: 200 })
    const vectors = (reply: Reply): readonly (readonly number[])[] =>
      (reply.json() as { data: readonly { embedding: readonly number[] }[] }).data.map(({ embedding }) => embedding)
    expect(vectors(first!)).toHaveLength(3)
    expect(vectors(first!)[0]).toHaveLength(16)
    expect(vectors(second!)[0]).toEqual(vectors(first!)[1])
  },
)

test.each([
  ['tf_grpc/packed', 'bytes of float32'],
  ['tf_grpc/packed-half', 'bytes of half floats'],
  ['tf_grpc/half', 'half floats one by one'],
  ['v2_grpc/half', 'raw half floats'],
  ['v2_grpc/listed', 'floats one by one'],
])('%s: vectors in another form (%s) are the same', async (model) => {
  const reply = await ask('/v1/embeddings', { model, input: ['a cat', 'a dog'] })
  expect(reply).toMatchObject({ status: 200 })
  const plain = await ask('/v1/embeddings', { model: 'tf_rest/m', input: ['a cat', 'a dog'] })
  const vectors = (of: Reply): number[] =>
    (of.json() as { data: readonly { embedding: readonly number[] }[] }).data.flatMap(({ embedding }) => [...embedding])
  const want = vectors(plain)
  expect(vectors(reply)).toHaveLength(want.length)
  for (const [i, value] of vectors(reply).entries()) expect(value).toBeCloseTo(want[i]!, 3)
})

test('a model that repeats the prompt, with tokens of a template in it, has it taken off', async () => {
  const reply = await chat('echo/echo', {
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi<|im_end|>' },
    ],
  })
  expect(reply).toMatchObject({ status: 200 })
  const { content } = (reply.json() as ChatAnswer).choices[0]!.message
  const prompt = '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n'
  expect(content).toBe(expected(prompt))
  expect(content).not.toContain('im_start|>system')
})

test.each([...WAYS])('%s: stop sequences are kept although the server knows of none', async (way) => {
  const whole = expected()
  const stop = whole.slice(10, 14)
  for (const stream of [false, true]) {
    const reply = await chat(`${way}/m`, { stop: [stop], stream })
    expect(reply).toMatchObject({ status: 200 })
    const text = stream
      ? (events(reply.text) as readonly { choices: readonly { delta: { content?: string } }[] }[])
          .flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? ''))
          .join('')
      : (reply.json() as ChatAnswer).choices[0]!.message.content
    expect(text).toBe(whole.slice(0, whole.indexOf(stop)))
  }
})

test('what the mapping has no place for is refused with its name, before anything is sent', async () => {
  const before = sim.received.length
  const reply = await chat('tf_rest/m', { temperature: 0.5 })
  expect(reply.status).toBe(400)
  expect(reply.json()).toMatchObject({ error: { code: 'unsupported_parameter', param: 'temperature' } })
  const tools = await chat('tf_rest/m', { tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] })
  expect(tools.status).toBe(400)
  expect(sim.received).toHaveLength(before)
})

test('versions, labels and shapes stand where the server looks for them', async () => {
  expect((await chat('shaped/m')).status).toBe(200)
  const shaped = sim.received.at(-1)!
  expect(shaped.path).toBe('/v1/models/m/versions/3:predict')
  expect(JSON.parse(shaped.body)).toEqual({ inputs: { text: [['What is the capital of France?']] } })
  expect((await chat('labelled/m')).status).toBe(200)
  const labelled = sim.received.at(-1)!
  expect(labelled.path).toBe('/v1/models/m/labels/stable:predict')
  expect(JSON.parse(labelled.body)).toEqual({ inputs: { text: 'What is the capital of France?' } })
})

test('one output alone stands in the place of all, and a list of JSON is looked into', async () => {
  const alone = await chat('labelled/lone')
  expect((alone.json() as ChatAnswer).choices[0]!.message.content).toBe(expected())
  const listed = await chat('json/json')
  expect(listed).toMatchObject({ status: 200 })
  const { choices, usage } = listed.json() as ChatAnswer
  expect(choices[0]!.message.content).toBe(expected())
  expect(usage!.completion_tokens).toBe(say('What is the capital of France?', 'm', undefined, { seed: 1 }).tokens)
})

test.each(['tf_grpc', 'tf_rest', 'v2_grpc', 'v2_rest'] as const)(
  '%s: failures mean what they mean by the other way',
  async (way) => {
    const status = async (model: string): Promise<number> => (await chat(`${way}/${model}`)).status
    expect(await status('missing')).toBe(404)
    expect(await status('exhausted')).toBe(429)
    expect(await status('busy')).toBe(503)
    expect(await status('broken')).toBe(502)
    const bad = await chat(`${way}/m`, { max_tokens: 100_000 })
    expect(bad).toMatchObject({ status: 400 })
    expect(bad.text).toContain('max_len must be')
  },
)

test('a tensor that claims a terabyte is refused, and the gateway lives', async () => {
  const reply = await chat('tf_grpc/hostile')
  expect(reply.status).toBe(502)
  expect((await chat('tf_grpc/m')).status).toBe(200)
})

test('an error in the middle of a stream is told as one', async () => {
  const reply = await chat('triton/cut', { stream: true })
  expect(reply.text).toContain('"error"')
  expect(reply.text).not.toContain('[DONE]')
})

test('what the mapping has no place for is left behind where the route says so, and told of', async () => {
  const reply = await chat('lenient', { temperature: 0.5, top_p: 0.9 })
  expect(reply).toMatchObject({ status: 200 })
  expect(reply.headers['x-heddle-dropped']).toMatch(/^temperature,.?top_p$/)
})

test('a server that is overloaded is failed over, to another kind of server if need be', async () => {
  const reply = await chat('backed')
  expect(reply).toMatchObject({ status: 200 })
  expect((reply.json() as ChatAnswer).choices[0]!.message.content).toBe(expected())
})

test('calls by gRPC are spread over the addresses of a cluster, each of which is called by its own', async () => {
  const seen = new Set<unknown>()
  for (let i = 0; i < 8; i++) {
    const reply = await call(`${gateway.url}/v1/chat/completions`, {
      body: { model: 'many/m', messages: [{ role: 'user', content: 'hi' }] },
      headers: { 'x-heddle-explain': '1' },
    })
    expect(reply).toMatchObject({ status: 200 })
    const told = JSON.stringify(reply.headers)
    for (const { grpcPort } of [sim, second]) if (told.includes(`127.0.0.1:${grpcPort}`)) seen.add(grpcPort)
  }
  expect(seen).toEqual(new Set([sim.grpcPort, second.grpcPort]))
})
