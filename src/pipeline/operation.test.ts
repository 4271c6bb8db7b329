import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dialectAt, endpointOf, methodsOf } from './operation.ts'

test.each([
  ['POST', '/v1/chat/completions', 'chat', '/chat/completions'],
  ['POST', '/chat/completions', 'chat', '/chat/completions'],
  ['POST', '/v1/v1/responses', 'responses', '/responses'],
  ['POST', '/v1/embeddings', 'embeddings', '/embeddings'],
  ['POST', '/v1/completions', 'completions', '/completions'],
  ['POST', '/v1/messages', 'messages', '/messages'],
  ['POST', '/v1/images/edits', 'images', '/images/edits'],
  ['POST', '/audio/speech', 'speech', '/audio/speech'],
  ['POST', '/v1/audio/translations', 'transcriptions', '/audio/translations'],
  ['POST', '/v1/moderations', 'moderations', '/moderations'],
  ['POST', '/v2/rerank', 'rerank', '/rerank'],
  ['POST', '/api/chat', 'ollama_chat', '/api/chat'],
  ['POST', '/v2/chat', 'cohere_chat', '/chat'],
  ['POST', '/v2/chat/', 'cohere_chat', '/chat'],
  ['GET', '/v1/chat/completions', 'chat', '/chat/completions'],
  ['GET', '/v1/responses/resp_1', 'passthrough', '/responses/resp_1'],
  ['DELETE', '/v1/responses/resp_1', 'passthrough', '/responses/resp_1'],
  ['DELETE', '/v1/models/ft', 'passthrough', '/models/ft'],
  ['DELETE', '/v1/files/file-1', 'passthrough', '/files/file-1'],
  ['POST', '/v1/a.b/..c/c..', 'passthrough', '/a.b/..c/c..'],
])('%s %s', (method, path, operation, upstreamPath) => {
  expect(endpointOf(method, path)).toEqual({ kind: 'call', operation, upstreamPath })
})

test.each([
  ['/v1/chat/completions', ['POST']],
  ['/completions', ['POST']],
  ['/v1/v1/embeddings', ['POST']],
  ['/v1/responses/', ['POST']],
  ['/v1/responses/resp_1', ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']],
  ['/v1/models', ['GET', 'HEAD']],
])('methods of %s', (path, methods) => {
  expect(methodsOf(path)).toEqual(methods)
})

const models = (id: string | null, dialect = 'openai.chat') => ({ kind: 'models', id, dialect })

test('models', () => {
  expect(endpointOf('HEAD', '/v1/models/a')).toEqual(models('a'))
  expect(endpointOf('GET', '/v1/models')).toEqual(models(null))
  expect(endpointOf('GET', '/v1/models/a%2Fb')).toEqual(models('a/b'))
  expect(endpointOf('GET', '/v1/models/%zz')).toEqual(models('%zz'))
  expect(endpointOf('GET', '/v1beta/models')).toEqual(models(null, 'gemini.generate'))
  expect(endpointOf('GET', '/v1beta/models/a')).toEqual(models('a', 'gemini.generate'))
  expect(endpointOf('GET', '/api/tags')).toEqual(models(null, 'ollama.chat'))
})

test.each([
  ['/v2/chat', 'cohere.chat'],
  ['/v2/rerank', 'cohere.chat'],
  ['/v2/nothing', 'cohere.chat'],
  ['/passthrough/co/v2/chat', 'cohere.chat'],
  ['/passthrough/kserve/v2/models/m/infer', 'openai.chat'],
  ['/passthrough/registry/v2/chats', 'openai.chat'],
])('who asks at %s reads errors of %s', (path, dialect) => {
  expect(dialectAt(path)).toBe(dialect)
})

test('what is counted and embedded in other words', () => {
  const small = (path: string) => endpointOf('POST', path)
  expect(small('/v1/messages/count_tokens')).toMatchObject({ operation: 'messages', counts: true })
  expect(small('/v1beta/models/m:countTokens')).toMatchObject({
    operation: 'generate_content',
    counts: true,
    url: { model: 'm' },
  })
  expect(small('/v1beta/models/m:embedContent')).toMatchObject({ operation: 'embeddings', embeds: 'gemini.one' })
  expect(small('/v1beta/models/m:batchEmbedContents')).toMatchObject({ embeds: 'gemini.batch' })
  expect(small('/api/embed')).toMatchObject({ operation: 'embeddings', embeds: 'ollama.embed' })
  expect(small('/v2/embed')).toMatchObject({ operation: 'embeddings', embeds: 'cohere.embed' })
  expect(small('/v1/models/m:COUNTTOKENS')).toBeNull()
  expect(small('/v1/images/generati%6Fns')).toBeNull()
})

test('Bedrock names model and method in its path, escaped as SDKs of AWS do it', () => {
  const converse = (model: string, stream: boolean) => ({
    kind: 'call',
    operation: 'converse',
    upstreamPath: `/model/:/${stream ? 'converse-stream' : 'converse'}`,
    url: { model, stream },
  })
  const arn = 'arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-5-v1:0'
  expect(endpointOf('POST', '/model/gpt-4o/converse')).toEqual(converse('gpt-4o', false))
  expect(endpointOf('POST', `/model/${encodeURIComponent(arn)}/converse-stream`)).toEqual(converse(arn, true))
  expect(endpointOf('POST', '/model/openai%2Fgpt-4o/converse')).toEqual(converse('openai/gpt-4o', false))
  expect(endpointOf('POST', '/model/openai/gpt-4o/converse')).toEqual(converse('openai/gpt-4o', false))
  // Escaped once: what is a name with an escape in it stays one.
  expect(endpointOf('POST', '/model/a%252Fb/converse')).toEqual(converse('a%2Fb', false))
  expect(methodsOf('/model/m/converse')).toEqual(['POST'])
  for (const path of [
    '/model/m/invoke',
    '/model//converse',
    '/model/converse',
    '/model/m/converse/',
    '/model/m/CONVERSE',
  ])
    expect(endpointOf('POST', path)).toBeNull()
})

test('Gemini names model and method in its path', () => {
  const generate = (model: string, stream: boolean) => ({
    kind: 'call',
    operation: 'generate_content',
    upstreamPath: `/models/:${stream ? 'streamGenerateContent' : 'generateContent'}`,
    url: { model, stream },
  })
  expect(endpointOf('POST', '/v1beta/models/gemini-3:generateContent')).toEqual(generate('gemini-3', false))
  expect(endpointOf('POST', '/v1beta/models/a/b:streamGenerateContent')).toEqual(generate('a/b', true))
  expect(endpointOf('POST', '/v1/models/m%3A1:generateContent')).toEqual(generate('m:1', false))
  expect(methodsOf('/v1beta/models/m:generateContent')).toEqual(['POST'])
  // As the AI SDK has it where the name holds a slash; Vertex' own paths are not meant.
  expect(endpointOf('POST', '/v1beta/openai/gpt-4o:generateContent')).toEqual(generate('openai/gpt-4o', false))
  expect(endpointOf('POST', '/v1beta/projects/p/models/m:generateContent')).toBeNull()
  // Another spelling of it must not pass as something that nobody judges.
  expect(endpointOf('POST', '/v1/models/m%3AgenerateContent')).toBeNull()
  expect(endpointOf('POST', '/v1/models/m:GENERATECONTENT')).toBeNull()
})

test.each([
  '/',
  '/v2/generate',
  '/admin',
  '/v1/../admin',
  '/v1/./x',
  '/v1/x/..',
  '/v1/%2e%2e/x',
  '/v1/%2E./x',
  '/v1/x%2f..%2fy',
  '/v1/x%5cy',
  '/v1/x%00',
  '/v1//x',
  '/v1/x y',
  '/v1/ü',
  '/v1/<x>',
  '/v1/..;/x',
  '/v1/x/..;a=b/y',
  '/v1/%2e%2e;/x',
  '/v1/.;/x',
  '/v1/%252e%252e/x',
  '/v1/x%252fy',
  '/v1/x\\y',
])('no such path: %s', (path) => {
  expect(endpointOf('GET', path)).toBeNull()
})

test('whatever passes stays below the provider’s base, however a backend reads it', () => {
  const part = fc.constantFrom(
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '%252e',
    '/',
    '//',
    ';',
    ';x=y',
    'files',
    'a',
    '%41',
    '\\',
    '?',
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const endpoint = endpointOf('GET', `/v1/${parts.join('')}`)
      if (endpoint?.kind !== 'call') return
      // The most generous reader: decodes twice, drops path parameters, takes backslashes for slashes.
      let read = endpoint.upstreamPath
      for (let i = 0; i < 2; i++) read = decodeURIComponent(read)
      read = read.replace(/;[^/]*/g, '').replaceAll('\\', '/')
      expect(new URL(`http://h/base${read}`).pathname.startsWith('/base/')).toBe(true)
      expect(read).not.toMatch(/\/\.{1,2}(?:\/|$)/)
    }),
    { numRuns: 2000 },
  )
})

test.each([
  '/v1/chat/complet%69ons',
  '/v1/chat/complet%2569ons',
  '/v1/chat/completions;x=1',
  '/v1/chat;a/completions/',
  '/v1/Chat/Completions',
  '/v1/RESPONSES',
  '/v1/%65mbeddings;v=2',
])('%s may not pass as something else than the call that a backend could take it for', (path) => {
  expect(endpointOf('POST', path)).toBe(null)
})
