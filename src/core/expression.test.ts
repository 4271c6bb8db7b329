import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileExpression, compileValue } from './expression.ts'
import type { Expression, ExpressionVariables } from './expression.ts'

const compile = (source: string, onError?: (message: string) => void): Expression => {
  const result = compileExpression(source, onError === undefined ? {} : { onError })
  if (!result.ok) throw new Error(`${source}: ${result.message}`)
  return result.expression
}

const variables: ExpressionVariables = {
  request: {
    max_tokens: 4096,
    temperature: 0.5,
    stream: true,
    tools: [{ type: 'function' }],
    messages: [{ role: 'user', content: 'Hello world' }],
    user: 'ann',
    nothing: null,
  },
  metadata: { tier: 'gold', team: 'blue' },
  headers: { 'x-tier': 'paid', 'user-agent': 'test' },
  model: 'gpt-5-mini',
  operation: 'chat',
  stream: true,
}

// Source, expected value, whether the body is needed.
test.each([
  ['true', true, false],
  ['stream', true, false],
  ['!stream', false, false],
  ['model == "gpt-5-mini"', true, false],
  ['model.startsWith("gpt-")', true, false],
  ['model.matches("^gpt-[0-9]")', true, false],
  ['operation in ["chat", "responses"]', true, false],
  ['headers["x-tier"] == "paid"', true, false],
  ['"x-tier" in headers && headers["x-tier"] == "paid"', true, false],
  ['has(headers.authorization)', false, false],
  ['request.max_tokens > 4000', true, true],
  ['request.max_tokens == 4096', true, true],
  ['request.max_tokens == 4096.0', true, true],
  ['request.temperature < 1', true, true],
  ['int(request.max_tokens) % 2 == 0', true, true],
  ['has(request.tools) && size(request.tools) > 0', true, true],
  ['request.messages[0].content.contains("world")', true, true],
  ['request.messages.exists(m, m.role == "user")', true, true],
  ['request.messages.all(m, m.role == "user")', true, true],
  ['request.nothing == null', true, true],
  ['metadata.tier in ["gold", "silver"]', true, true],
  ['metadata.tier == "gold" ? stream : false', true, true],
  ['request.stream', true, true],
  // A missing field makes the condition false, unless CEL's || or && decides without it.
  ['request.missing == 1', false, true],
  ['!(request.missing == 1)', false, true],
  ['request.missing == 1 || stream', true, true],
  ['headers["x-none"] == "a"', false, false],
  ['request.messages[7].role == "user"', false, true],
  ['1 / 0 == 1', false, false],
  // Neither inherited properties nor another type hold.
  ['request.constructor == 1', false, true],
  ['request.user', false, true],
])('%s is %s', (source, expected, needsBody) => {
  const expression = compile(source)
  expect(expression.evaluate(variables)).toBe(expected)
  expect(expression.needsBody).toBe(needsBody)
})

test.each([
  ['', 'Unexpected', 0],
  ['model ==', 'Unexpected', 8],
  ['modle == "a"', 'Unknown variable: modle', 0],
  ['stream && modle == "a"', 'Unknown variable: modle', 10],
  ['model', 'must be true or false, but is a string', 0],
  ['1 + 1', 'must be true or false, but is a int', 0],
  ['model + 1 == 2', 'no such overload', 0],
  ['headers["x"] == 1', 'no such overload', 0],
  ['model.shout()', 'no matching overload', 0],
])('%s does not compile', (source, message, offset) => {
  const result = compileExpression(source)
  expect(result).toMatchObject({ ok: false, offset: expect.any(Number) })
  if (result.ok) return
  expect(result.message).toContain(message)
  expect(result.message).not.toContain('\n')
  if (offset > 0) expect(result.offset).toBe(offset)
})

test.each([
  ['^(a+)+$', 'repeats a group'],
  ['(a|a)*$', 'repeats a group'],
  ['((ab)*)*', 'repeats a group'],
  ['(x(a|b))+', 'repeats a group'],
  ['.*a.*b.*', 'more than 2 unbounded'],
  ['(?=a)b', 'look-around'],
  [String.raw`(a)\\1`, 'back reference'],
  ['(', 'is not a regular expression'],
])('the pattern %s is refused, because it could hang', (pattern, message) => {
  const result = compileExpression(`model.matches("${pattern}")`)
  expect(result).toMatchObject({ ok: false, message: expect.stringContaining(message) })
})

test.each(['^gpt-', 'mini$', '(mini|nano)$', '^gpt-5(-mini)?$', '[a-z]+-[0-9]+', '^(gpt){1,2}'])(
  'the pattern %s is accepted',
  (pattern) => {
    expect(compileExpression(`model.matches("${pattern}")`)).toMatchObject({ ok: true })
  },
)

test('a pattern from the request is refused', () => {
  expect(compileExpression('model.matches(headers["x"])')).toMatchObject({
    ok: false,
    message: expect.stringContaining('must be a literal'),
  })
})

test('errors are reported, once per evaluation, and not as a throw', () => {
  const errors: string[] = []
  const expression = compile('request.a.b == 1', (message) => errors.push(message))
  expect(expression.evaluate(variables)).toBe(false)
  expect(expression.evaluate({ ...variables, request: { a: { b: 1 } } })).toBe(true)
  expect(errors).toEqual([expect.stringContaining('No such key: a')])
})

test('a body that was not parsed is an empty one', () => {
  const { headers, model, operation, stream } = variables
  expect(compile('has(request.tools)').evaluate({ headers, model, operation, stream })).toBe(false)
  expect(compile('!has(request.tools)').evaluate({ headers, model, operation, stream })).toBe(true)
})

test('evaluation is total: any body gives true or false', () => {
  const expressions = ['request.a == 1', 'request.a.b', 'size(request.a) > 2', 'request.a[0] in request.b'].map(
    (source) => compile(source),
  )
  fc.assert(
    fc.property(fc.jsonValue(), (request) => {
      for (const { evaluate } of expressions) expect(evaluate({ ...variables, request })).toBeTypeOf('boolean')
    }),
  )
})

test('compiling is total: any text gives an expression or a message', () => {
  const token = fc.constantFrom(
    'request',
    '.a',
    '(',
    ')',
    '"x"',
    '==',
    '&&',
    '!',
    '1',
    '[',
    ']',
    'has(',
    'matches',
    ' ',
  )
  fc.assert(fc.property(fc.array(token, { maxLength: 20 }), (tokens) => void compileExpression(tokens.join(''))))
  fc.assert(fc.property(fc.string(), (text) => void compileExpression(text)))
  expect(compileExpression('!'.repeat(100_000))).toMatchObject({ ok: false })
})

const valueOf = (source: string) => {
  const compiled = compileValue(source)
  if (!compiled.ok) throw new Error(compiled.message)
  return compiled.expression
}

test.each([
  ['principal.team', 'search'],
  ['principal.claims.org + "/" + model', '7/m'],
  ['size(model)', '1'],
  ['3u', '3'],
  ['1.5', '1.5'],
  ['stream', 'false'],
  ['headers["x-none"]', null],
  ['principal.claims', null],
  ['principal.claims.none', null],
])('the value of %s', (source, expected) => {
  const principal = { team: 'search', claims: { org: '7' } }
  expect(valueOf(source).evaluate({ headers: {}, model: 'm', operation: 'chat', stream: false, principal })).toBe(
    expected,
  )
})

test.each(['[1]', '{"a": 1}', 'model +', 'model.matches("(a+)+")', 'null'])('%s is no value', (source) => {
  expect(compileValue(source).ok).toBe(false)
})

test('what an expression needs is known before it runs', () => {
  expect(valueOf('principal.team')).toMatchObject({ needsPrincipal: true, needsBody: false })
  expect(valueOf('[metadata].map(m, string(m.a))[0]')).toMatchObject({ needsPrincipal: false, needsBody: true })
  const condition = compileExpression('"dev" in principal.roles')
  expect(condition).toMatchObject({ ok: true, expression: { needsPrincipal: true, needsBody: false } })
})
