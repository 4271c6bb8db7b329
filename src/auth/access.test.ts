import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { GrantConfig } from '../contracts/config-auth.ts'
import { compileAccess, compileRule, denyAll } from './access.ts'
import { grantOf, requestOf, targetOf } from './access-fixture.ts'
import { OPEN_ACCESS } from './anonymous.ts'

const access = (grant: Partial<GrantConfig>) => compileAccess([compileRule('key ci', grantOf(grant))], [])
const group = (...names: readonly string[]) => ({
  type: 'namespace',
  name: 'get_all',
  tools: names.map((name) => ({ type: 'function', name })),
})
const added = (name: string) => ({ type: 'additional_tools', role: 'developer', tools: [{ type: 'function', name }] })
const tool = (name: string) => ({ type: 'function', function: { name } })

test('nothing restricted costs nothing', () => {
  expect(access({})).toBe(OPEN_ACCESS)
  expect(compileAccess([], [compileRule('role a', grantOf({})), compileRule('role b', grantOf({ models: [] }))])).toBe(
    OPEN_ACCESS,
  )
})

test.each<[string, Partial<GrantConfig>, ReturnType<typeof requestOf>, string | null]>([
  ['a model by pattern', { models: ['fa*'] }, requestOf(), null],
  ['another model', { models: ['smart'] }, requestOf(), 'key ci: models'],
  ['no model at all', { models: [] }, requestOf(), 'key ci: models'],
  ['an operation', { operations: ['chat'] }, requestOf(), null],
  ['another operation', { operations: ['chat'] }, requestOf({ operation: 'embeddings' }), 'key ci: operations'],
  ['no tools', { tools: [] }, requestOf(), null],
  ['a granted tool', { tools: ['get_*'] }, requestOf({}, { tools: [tool('get_time')] }), null],
  ['one of two', { tools: ['get_*'] }, requestOf({}, { tools: [tool('get_a'), tool('drop')] }), 'key ci: tools'],
  ['an old function', { tools: ['a'] }, requestOf({}, { functions: [{ name: 'b' }] }), 'key ci: tools'],
  ['both lists', { tools: ['a'] }, requestOf({}, { tools: [tool('a')], functions: [{ name: 'b' }] }), 'key ci: tools'],
  ['a flat function', { tools: ['a'] }, requestOf({}, { tools: [{ type: 'function', name: 'b' }] }), 'key ci: tools'],
  ['a custom tool', { tools: ['a'] }, requestOf({}, { tools: [{ type: 'custom', custom: { name: 'a' } }] }), null],
  ['a built-in tool', { tools: ['web_search'] }, requestOf({}, { tools: [{ type: 'web_search' }] }), null],
  [
    'a built-in one not granted',
    { tools: ['a'] },
    requestOf({}, { tools: [{ type: 'mcp', name: 'a' }] }),
    'key ci: tools',
  ],
  ['a tool of Messages', { tools: ['get_*'] }, requestOf({}, { tools: [{ name: 'get_a', input_schema: {} }] }), null],
  ['its server tool', { tools: ['a'] }, requestOf({}, { tools: [{ type: 'bash_1', name: 'a' }] }), 'key ci: tools'],
  ['a remote server', { tools: ['*'] }, requestOf({}, { mcp_servers: [{ url: 'https://x' }] }), 'key ci: tools'],
  [
    'functions of Gemini',
    { tools: ['get_*'] },
    requestOf({}, { tools: [{ functionDeclarations: [{ name: 'get_a' }, { name: 'get_b' }] }] }),
    null,
  ],
  [
    'one of them',
    { tools: ['get_*'] },
    requestOf({}, { tools: [{ function_declarations: [{ name: 'get_a' }, { name: 'drop' }] }] }),
    'key ci: tools',
  ],
  ['a tool of Gemini’s', { tools: ['a'] }, requestOf({}, { tools: [{ googleSearch: {} }] }), 'key ci: tools'],
  ['granted by its name', { tools: ['googleSearch'] }, requestOf({}, { tools: [{ googleSearch: {} }] }), null],
  ['an empty tool', { tools: ['*'] }, requestOf({}, { tools: [{}] }), 'key ci: tools'],
  ['search by a switch', { tools: ['a'] }, requestOf({}, { web_search_options: {} }), 'key ci: tools'],
  ['a tool without name', { tools: ['*'] }, requestOf({}, { tools: [{ type: 'function' }] }), 'key ci: tools'],
  ['tools that are no list', { tools: ['*'] }, requestOf({}, { tools: { a: 1 } }), 'key ci: tools'],
  ['a group of granted ones', { tools: ['get_*'] }, requestOf({}, { tools: [group('get_a', 'get_b')] }), null],
  [
    'one in a group',
    { tools: ['get_*', 'namespace'] },
    requestOf({}, { tools: [group('get_a', 'drop')] }),
    'key ci: tools',
  ],
  ['one in the input', { tools: ['get_*'] }, requestOf({}, { input: [added('drop')] }), 'key ci: tools'],
  ['granted in the input', { tools: ['get_*'] }, requestOf({}, { input: [{ role: 'user' }, added('get_a')] }), null],
  [
    'one that a search found',
    { tools: ['get_*'] },
    requestOf({}, { input: [{ type: 'tool_search_output', tools: [group('drop')] }] }),
    'key ci: tools',
  ],
  [
    'an item without its list',
    { tools: ['*'] },
    requestOf({}, { input: [{ type: 'additional_tools' }] }),
    'key ci: tools',
  ],
  ['those of a stored prompt', { tools: ['*'] }, requestOf({}, { prompt: { id: 'pmpt_1' } }), 'key ci: tools'],
  ['a prompt that is text', { tools: [] }, requestOf({}, { prompt: ['a'] }), null],
  ['a plugin', { tools: ['a'] }, requestOf({}, { plugins: [{ id: 'web' }] }), 'key ci: tools'],
  ['a granted plugin', { tools: ['web'] }, requestOf({}, { plugins: [{ id: 'web' }] }), null],
  ['live search', { tools: ['a'] }, requestOf({}, { search_parameters: { mode: 'auto' } }), 'key ci: tools'],
  ['passthrough', { tools: ['*'] }, requestOf({ operation: 'passthrough' }), 'key ci: tools'],
  ['a condition', { when: 'model == "fast" && !stream' }, requestOf(), null],
  ['a condition over the body', { when: 'request.max_tokens < 100' }, requestOf({}, { max_tokens: 50 }), null],
  ['a condition that fails', { when: 'request.max_tokens < 100' }, requestOf(), 'key ci: when'],
  ['a condition of tomorrow', { when: 'future(model)' }, requestOf(), 'key ci: when'],
])('a request with %s', (_name, grant, facts, rule) => {
  expect(access(grant).request(facts)?.rule ?? null).toBe(rule)
})

test.each<[string, Partial<GrantConfig>, ReturnType<typeof targetOf>, string | null]>([
  ['provider', { providers: ['azure-*'] }, targetOf('azure-eu'), null],
  ['other provider', { providers: ['azure-*'] }, targetOf('openai'), 'key ci: providers'],
  ['region', { regions: ['eu-*'] }, targetOf('a', 'eu-west'), null],
  ['other region', { regions: ['eu-*'] }, targetOf('a', 'us-east'), 'key ci: regions'],
  ['unknown region, any wanted', { regions: ['*'] }, targetOf('a'), 'key ci: regions'],
  ['no retention', { noRetention: true }, targetOf('a', '', false), null],
  ['retention', { noRetention: true }, targetOf('a', '', true), 'key ci: no_retention'],
  ['unknown retention', { noRetention: true }, targetOf('a'), 'key ci: no_retention'],
])('a target with %s', (_name, grant, target, rule) => {
  expect(access(grant).target(target, requestOf())?.rule ?? null).toBe(rule)
  expect(access(grant).anyTarget).toBe(false)
})

test('a body is read only for a rule that looks at it', () => {
  const facts = requestOf({
    json: () => {
      throw new Error('read')
    },
  })
  expect(access({ models: ['fast'], operations: ['chat'], when: 'model == "fast"' }).request(facts)).toBeNull()
  expect(access({ tools: ['*'] }).request({ ...facts, operation: 'embeddings' })).toBeNull()
})

test('one role must allow model and target together', () => {
  const eu = compileRule('role eu', grantOf({ models: ['a'], regions: ['eu'] }))
  const world = compileRule('role world', grantOf({ models: ['b'] }))
  const both = compileAccess([], [eu, world])
  const [a, b] = [requestOf({ model: 'a' }), requestOf({ model: 'b' })]
  expect(both.target(targetOf('p', 'us'), b)).toBeNull()
  expect(both.target(targetOf('p', 'eu'), a)).toBeNull()
  expect(both.target(targetOf('p', 'us'), a)?.rule).toBe('role eu: regions')
  // A fallback from b to a takes on the rules of a.
  expect(both.target(targetOf('p', 'us'), b, 'a')?.rule).toBe('role eu: regions')
  // Nobody said for which request: the strictest reading.
  expect(both.target(targetOf('p', 'us'))?.rule).toBe('role eu: regions')
  expect(both.model('b', a)).toBeNull()
  expect(both.model('c')?.rule).toBe('role eu: models')
})

test('denyAll denies', () => {
  const nothing = compileAccess([denyAll('token', 'no role')], [])
  expect(nothing.request(requestOf())?.rule).toBe('token')
  expect(nothing.model('a')?.rule).toBe('token')
  expect(nothing.target(targetOf('a'), requestOf())?.rule).toBe('token')
})

// ── Composition: what the documents promise, computed the slow way ──

const name = fc.constantFrom('a', 'b', 'c')
const list = fc.option(fc.subarray(['a', 'b', 'c', '*']), { nil: null })
const grant = fc.record({ models: list, providers: list, regions: list, noRetention: fc.boolean() }).map(grantOf)
const has = (patterns: readonly string[] | null, text: string): boolean =>
  patterns === null || patterns.includes(text) || patterns.includes('*')

test('all rules and one role: for every grant, model and target', () => {
  const property = fc.property(
    fc.array(grant, { maxLength: 3 }),
    fc.array(grant, { maxLength: 3 }),
    fc.record({ model: name, provider: name, region: fc.constantFrom('', 'a', 'b'), retention: fc.boolean() }),
    (rules, roles, { model, provider, region, retention }) => {
      const allows = (g: GrantConfig, withTarget: boolean): boolean =>
        has(g.models, model) &&
        (!withTarget ||
          (has(g.providers, provider) &&
            (g.regions === null || (region !== '' && has(g.regions, region))) &&
            (!g.noRetention || !retention)))
      const slow = (withTarget: boolean): boolean =>
        rules.every((g) => allows(g, withTarget)) && (roles.length === 0 || roles.some((g) => allows(g, withTarget)))
      const compiled = compileAccess(
        rules.map((g) => compileRule('rule', g)),
        roles.map((g) => compileRule('role', g)),
      )
      const facts = requestOf({ model })
      const target = targetOf(provider, region, retention)
      expect(compiled.request(facts) === null).toBe(slow(false))
      expect(compiled.model(model) === null).toBe(slow(false))
      const whole = compiled.request(facts) === null && compiled.target(target, facts) === null
      expect(whole).toBe(slow(true))
      if (compiled.anyTarget) expect(compiled.target(target)).toBeNull()
      // Not knowing the request never allows more.
      if (compiled.target(target) === null && slow(false)) expect(slow(true)).toBe(true)
    },
  )
  fc.assert(property, { numRuns: 3000 })
})
