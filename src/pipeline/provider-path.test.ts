import fc from 'fast-check'
import { expect, test } from 'vitest'
import { belowBase, cleanQuery, namesTwo, ownModel, PROVIDER_PATHS, providerPathOf } from './provider-path.ts'

test.each([
  ['own/files', '/files', '', null],
  ['own/chat/completions', '/chat/completions', '', 'chat'],
  ['own/v1/Messages/', '/v1/Messages/', '', 'messages'],
  ['own/v1beta/models/m:generateContent', '/v1beta/models/m:generateContent', 'm', 'generate_content'],
  ['own/models/a/b%3AstreamGenerateContent', '/models/a/b%3AstreamGenerateContent', 'a/b', 'generate_content'],
  ['own/tunedModels/t:embedContent', '/tunedModels/t:embedContent', 't', 'embeddings'],
  [
    'own/model/anthropic.claude-1%3A0/converse',
    '/model/anthropic.claude-1%3A0/converse',
    'anthropic.claude-1:0',
    'converse',
  ],
  ['own/model/m/invoke', '/model/m/invoke', 'm', 'chat'],
  ['own/openai/deployments/d/images/edits', '/openai/deployments/d/images/edits', 'd', 'images'],
  ['own/models/o/n/predictions', '/models/o/n/predictions', 'o/n', null],
  ['own/audio;x=1/speech;y', '/audio;x=1/speech;y', '', 'speech'],
  ['own/realtime', '/realtime', '', 'realtime'],
])('%s', (text, path, model, as) => {
  expect(providerPathOf(PROVIDER_PATHS + text)).toEqual({ provider: 'own', path, model, as })
})

test.each(['', 'own', 'own/', '/x', 'own/../x', 'own/%2e%2e/x', 'own/a%2Fb', 'own/a//b', 'own/a b'])(
  'no path: %s',
  (text) => {
    expect(providerPathOf(PROVIDER_PATHS + text)).toBeNull()
  },
)

test('a model has the name of its provider before it', () => {
  const path = { provider: 'p', path: '/x', model: '', as: null }
  expect(ownModel(path, '')).toBe('')
  expect(ownModel(path, 'models/m')).toBe('p/m')
  expect(ownModel({ ...path, model: 'n' }, '')).toBe('p/n')
  expect([namesTwo(path, 'm'), namesTwo({ ...path, model: 'm' }, 'models/m')]).toEqual([false, false])
  expect(namesTwo({ ...path, model: 'm' }, 'n')).toBe(true)
})

test.each([
  ['/v1', '/v1/x', '/x'],
  ['/v1', '/v1', '/v1'],
  ['/v1', '/v10/x', '/v10/x'],
  ['/openai/v1', '/openai/v1/x', '/x'],
  ['/openai/v1', '/v1/x', '/x'],
  ['/openai/v1', '/openai/x', '/openai/x'],
  ['', '/v1/x', '/v1/x'],
])('below %s: %s', (base, path, below) => {
  expect(belowBase(base, path)).toBe(below)
})

test('no key of a client is in what is left of its query, however it is written', () => {
  const secret = 'hk_secret'
  const name = fc.constantFrom(
    'key',
    'KEY',
    'api_key',
    'api-key',
    'access_token',
    '%6Bey',
    'k%65y',
    'a',
    'b',
    'version',
  )
  fc.assert(
    fc.property(fc.array(name, { maxLength: 8 }), (names) => {
      const plain = (n: string): string => decodeURIComponent(n).toLowerCase()
      const query = names.map((n) => `${n}=${['a', 'b', 'version'].includes(n) ? 'ok' : secret}`).join('&')
      const left = cleanQuery(query === '' ? '' : `?${query}`, '?version=1')
      expect(left).not.toContain(secret)
      const kept = names.filter((n) => plain(n) === 'a' || plain(n) === 'b')
      expect(left).toBe(kept.length === 0 ? '' : `?${kept.map((n) => `${n}=ok`).join('&')}`)
    }),
  )
  expect(cleanQuery('?model=x&y', '', 'model')).toBe('?y')
})
