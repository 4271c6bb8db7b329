import { describe, expect, it } from 'vitest'
import { at, callFixture, eventsOf, jsonOf, post, stateFixture } from './call-fixture.ts'
import { ApiError } from './errors.ts'
import type { JsonObject } from './json.ts'
import { asArray, asString } from './json.ts'
import { answerCall } from './routes.ts'

const thrownBy = (run: () => unknown): ApiError => {
  try {
    run()
  } catch (error) {
    if (error instanceof ApiError) return error
  }
  throw new Error('no ApiError')
}

describe('legacy completions', () => {
  const complete = (body: JsonObject): JsonObject => jsonOf(post('/v1/completions', body))
  const texts = (body: JsonObject): string[] =>
    (asArray(body['choices']) ?? []).map((choice) => asString(at(choice, 'text')) ?? '')

  it('answers the classic prompt', () => {
    const body = complete({ prompt: 'Question: What is the capital of France?\nAnswer:', max_tokens: 256 })
    expect(texts(body)).toEqual([' The capital of France is Paris.'])
    expect(at(body, 'choices.0.finish_reason')).toBe('stop')
  })

  it('honours max_tokens (16 unless given), echo, n, best_of, suffix and several prompts', () => {
    expect(at(complete({ prompt: 'Tell me about looms' }), 'usage.completion_tokens')).toBe(16)
    expect(texts(complete({ prompt: 'capital of France', echo: true }))[0]).toBe(
      'capital of France The capital of France is Paris.',
    )
    expect(new Set(texts(complete({ prompt: ['a loom', 'a heddle'], n: 2 }))).size).toBe(4)
    const best = complete({ prompt: 'loom', best_of: 4, n: 2 })
    expect(texts(best)).toHaveLength(2)
    expect(at(best, 'usage.completion_tokens')).toBe(64)
    expect(texts(complete({ prompt: 'loom', suffix: 'the end' }))).not.toEqual(texts(complete({ prompt: 'loom' })))
    expect(texts(complete({ prompt: [[1, 2, 3], [4]] }))).toHaveLength(2)
    expect(thrownBy(() => complete({ prompt: 'x', n: 2, best_of: 1 })).param).toBe('best_of')
    expect(thrownBy(() => complete({ prompt: [{}] })).param).toBe('prompt')
  })

  it('says the same streamed as whole, with offsets of the log probabilities', () => {
    const request = { prompt: 'Tell me about looms', max_tokens: 20, logprobs: 2, echo: true, n: 2 }
    const chunks = eventsOf(post('/v1/completions', { ...request, stream: true }))
    const joined = [0, 1].map((index) =>
      chunks
        .flatMap((chunk) => asArray(chunk['choices']) ?? [])
        .filter((choice) => at(choice, 'index') === index)
        .map((choice) => at(choice, 'text'))
        .join(''),
    )
    expect(joined).toEqual(texts(complete(request)))
    const logprobs = at(complete({ prompt: 'capital of France', logprobs: 1, echo: true }), 'choices.0.logprobs')
    const tokens = asArray(at(logprobs, 'tokens')) ?? []
    const text = tokens.join('')
    const offsets = asArray(at(logprobs, 'text_offset')) ?? []
    for (const [index, token] of tokens.entries())
      expect(text.startsWith(String(token), Number(offsets[index]))).toBe(true)
    expect(at(logprobs, 'token_logprobs.0')).toBeNull()
  })
})

describe('embeddings', () => {
  const embed = (body: JsonObject): JsonObject => jsonOf(post('/v1/embeddings', body))

  it('agrees between float and base64, keeps the order, and honours dimensions', () => {
    const floats = embed({ input: ['warp', 'weft'], dimensions: 8 })
    const encoded = embed({ input: ['warp', 'weft'], dimensions: 8, encoding_format: 'base64' })
    for (const index of [0, 1]) {
      const bytes = Buffer.from(asString(at(encoded, `data.${index}.embedding`)) ?? '', 'base64')
      const decoded = Array.from({ length: 8 }, (_, i) => bytes.readFloatLE(i * 4))
      expect(decoded).toEqual(at(floats, `data.${index}.embedding`))
      expect(at(floats, `data.${index}.index`)).toBe(index)
    }
    expect(at(embed({ input: 'weft', dimensions: 8 }), 'data.0')).toMatchObject({
      embedding: at(floats, 'data.1.embedding'),
    })
    expect(asArray(at(embed({ model: 'text-embedding-3-large', input: 'x' }), 'data.0.embedding'))).toHaveLength(3072)
  })

  it('takes tokens and refuses what is empty or wrong', () => {
    expect(at(embed({ input: [1, 2, 3] }), 'usage.prompt_tokens')).toBe(3)
    expect(asArray(at(embed({ input: [[1], [2, 3]] }), 'data'))).toHaveLength(2)
    for (const input of ['', [], [''], [[]], {}, [[-1]]]) expect(thrownBy(() => embed({ input })).param).toBe('input')
    expect(thrownBy(() => embed({ input: 'x', encoding_format: 'hex' })).param).toBe('encoding_format')
    expect(thrownBy(() => embed({ input: 'x', dimensions: 0 })).param).toBe('dimensions')
  })
})

describe('moderations, images, speech, models', () => {
  it('flags by words', () => {
    const body = jsonOf(post('/v1/moderations', { input: ['I will kill the process', 'I like tea'] }))
    expect(at(body, 'results.0.flagged')).toBe(true)
    expect(at(body, 'results.0.categories.violence')).toBe(true)
    expect(at(body, 'results.1.flagged')).toBe(false)
  })

  it('draws a PNG', () => {
    const image = asString(at(jsonOf(post('/v1/images/generations', { prompt: 'a loom' })), 'data.0.b64_json')) ?? ''
    const bytes = Buffer.from(image, 'base64')
    expect(bytes.subarray(1, 4).toString()).toBe('PNG')
    expect(bytes.subarray(-8, -4).toString()).toBe('IEND')
  })

  it('speaks bytes that are no text', () => {
    const answer = post('/v1/audio/speech', { model: 'tts-1', input: 'Hello', voice: 'alloy', response_format: 'wav' })
    expect(answer).toMatchObject({ kind: 'bytes', contentType: 'audio/wav' })
    if (answer.kind === 'bytes') expect(answer.bytes.readUInt32LE(40)).toBe(answer.bytes.length - 44)
  })

  it('knows models, strictly if told so', () => {
    const get = (path: string, strictModels: boolean): JsonObject =>
      jsonOf(answerCall({ ...callFixture(path, {}, stateFixture({ strictModels })), method: 'GET' }))
    expect(asArray(at(get('/v1/models', true), 'data'))?.length).toBeGreaterThan(5)
    expect(get('/v1/models/org%2Fmodel', false)['id']).toBe('org/model')
    expect(thrownBy(() => get('/v1/models/nope', true))).toMatchObject({ status: 404, code: 'model_not_found' })
    const strict = stateFixture({ strictModels: true })
    expect(thrownBy(() => post('/v1/embeddings', { model: 'nope', input: 'x' }, strict)).message).toContain(
      'The model `nope` does not exist',
    )
  })

  it('refuses other methods and paths outside /v1', () => {
    expect(thrownBy(() => answerCall({ ...callFixture('/v1/embeddings', {}), method: 'GET' }))).toMatchObject({
      status: 405,
      headers: { allow: 'POST' },
    })
    expect(thrownBy(() => post('/nowhere', {})).status).toBe(404)
    expect(jsonOf(post('/v1/nowhere', {}))['object']).toBe('sim.echo')
  })
})

describe('responses', () => {
  const create = (body: JsonObject, state = stateFixture()): JsonObject => jsonOf(post('/v1/responses', body, state))
  const textOf = (response: JsonObject): string =>
    (asArray(response['output']) ?? []).map((item) => asString(at(item, 'content.0.text')) ?? '').join('')
  const add = {
    type: 'function',
    name: 'add',
    parameters: {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'integer' } },
      required: ['a', 'b'],
    },
  }

  it('streams the events in order, numbered, and says the same as whole', () => {
    const request = { input: 'capital of France' }
    const events = eventsOf(post('/v1/responses', { ...request, stream: true }))
    expect(events.map((event) => event['sequence_number'])).toEqual(events.map((_, index) => index))
    const types = events.map((event) => asString(event['type']) ?? '')
    expect([...new Set(types)]).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ])
    const deltas = events
      .filter((event) => event['type'] === 'response.output_text.delta')
      .map((event) => event['delta'])
      .join('')
    expect(deltas).toBe(textOf(create(request)))
    expect(at(events.at(-1), 'response.output.0.content.0.text')).toBe(deltas)
  })

  it('streams function calls and reasoning summaries', () => {
    const events = eventsOf(
      post('/v1/responses', {
        model: 'o4-mini',
        input: 'add 3 and 4',
        tools: [add],
        reasoning: { summary: 'auto' },
        stream: true,
      }),
    )
    const pieces = events
      .filter((event) => event['type'] === 'response.function_call_arguments.delta')
      .map((event) => event['delta'])
    expect(pieces.join('')).toBe('{"a":3,"b":4}')
    expect(pieces.length).toBeGreaterThan(1)
    expect(events.some((event) => event['type'] === 'response.reasoning_summary_text.delta')).toBe(true)
    expect(at(events.at(-1), 'response.output.1.type')).toBe('function_call')
  })

  it('goes on from a stored response, by id and by item reference', () => {
    const state = stateFixture()
    const first = create({ input: 'My name is Ada.' }, state)
    expect(textOf(create({ input: 'What is my name?', previous_response_id: first['id'] ?? '' }, state))).toContain(
      'Ada',
    )
    const called = create({ input: 'add 3 and 4', tools: [add] }, state)
    const [item] = asArray(called['output']) ?? []
    const input = [
      { role: 'user', content: 'add 3 and 4' },
      { type: 'item_reference', id: at(item, 'id') ?? '' },
      { type: 'function_call_output', call_id: at(item, 'call_id') ?? '', output: 'seven' },
    ]
    expect(textOf(create({ input, tools: [add] }, state))).toContain('seven')
    const unstored = create({ input: 'Hi', store: false }, state)
    expect(thrownBy(() => create({ input: 'x', previous_response_id: unstored['id'] ?? '' }, state)).code).toBe(
      'previous_response_not_found',
    )
  })

  it('is incomplete when tokens run out', () => {
    const body = create({ input: 'Tell me about looms', max_output_tokens: 3 })
    expect(body).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })
    const events = eventsOf(post('/v1/responses', { input: 'Tell me about looms', max_output_tokens: 3, stream: true }))
    expect(events.at(-1)?.['type']).toBe('response.incomplete')
  })

  it('reads encrypted reasoning only if it is its own', () => {
    const mine = stateFixture()
    const made = create({ model: 'o3', input: 'Hi', include: ['reasoning.encrypted_content'], store: false }, mine)
    const input = [...(asArray(made['output']) ?? []), { role: 'user', content: 'Go on' }]
    expect(create({ model: 'o3', input }, mine)['status']).toBe('completed')
    const other = stateFixture({ organisation: 'org-b' })
    expect(thrownBy(() => create({ model: 'o3', input }, other)).code).toBe('invalid_encrypted_content')
  })

  it('gives a schema its instance', () => {
    const format = {
      type: 'json_schema',
      name: 'x',
      strict: true,
      schema: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
    }
    expect(JSON.parse(textOf(create({ input: 'Hi', text: { format } })))).toEqual({ ok: false })
  })

  it.each<[string, JsonObject, number]>([
    ['no input', {}, 400],
    ['unknown role', { input: [{ role: 'robot', content: 'x' }] }, 400],
    ['output without a call', { input: [{ type: 'function_call_output', call_id: 'x', output: 'y' }] }, 400],
    ['call without an output', { input: [{ type: 'function_call', call_id: 'x', name: 'f', arguments: '{}' }] }, 400],
    ['unknown reference', { input: [{ type: 'item_reference', id: 'msg_x' }] }, 404],
    [
      'bad image',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:image/tiff;base64,AAAA' }] }] },
      400,
    ],
  ])('refuses: %s', (_, body, status) => {
    expect(thrownBy(() => create(body)).status).toBe(status)
  })
})
