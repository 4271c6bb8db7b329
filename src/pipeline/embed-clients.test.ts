import { expect, test } from 'vitest'
import type { JsonObject } from '../contracts/canonical.ts'
import { GatewayError } from '../core/errors.ts'
import { embedClient, embedClientAnswer } from './embed-clients.ts'

const cohere = (sent: JsonObject) => embedClient('cohere.embed', { model: 'm', ...sent }, '')

test('Cohere’s texts and inputs are what there is to embed, with what it is for', () => {
  const sent = { texts: ['a', 'b'], input_type: 'search_query', embedding_types: ['float'], output_dimension: 8 }
  expect(cohere(sent)).toEqual({
    form: 'cohere.embed',
    request: { model: 'm', input: ['a', 'b'], dimensions: 8, encoding_format: 'float' },
    purpose: 'search_query',
  })
  const content = [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ]
  expect(cohere({ inputs: [{ content }] }).request['input']).toEqual(['a\nb'])
})

test.each([
  [{}, 'texts'],
  [{ texts: [] }, 'texts'],
  [{ texts: 'a' }, 'texts'],
  [{ texts: ['a'], embedding_types: ['float', 'int8'] }, 'embedding_types'],
  [{ images: ['data:image/png;base64,AA=='] }, 'images'],
  [{ inputs: [{ content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }, 'inputs[0].content'],
  [{ inputs: ['a'] }, 'inputs[0]'],
  [{ texts: ['a'], output_dimension: 0 }, 'output_dimension'],
] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
  let error: unknown
  try {
    cohere(sent)
  } catch (thrown) {
    error = thrown
  }
  expect(GatewayError.is(error) ? [error.status, error.param] : error).toEqual([400, param])
})

test('vectors come in the order of the texts, in Cohere’s form', () => {
  const data = [
    { index: 1, embedding: [2] },
    { index: 0, embedding: [1] },
  ]
  const body = Buffer.from(JSON.stringify({ data, usage: { prompt_tokens: 3 } }))
  expect(JSON.parse(embedClientAnswer('cohere.embed', body, { model: 'm', id: 'req-1' }).toString())).toEqual({
    response_type: 'embeddings_by_type',
    id: 'req-1',
    embeddings: { float: [[1], [2]] },
    meta: { api_version: { version: '2' }, billed_units: { input_tokens: 3 } },
  })
})
