import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../contracts/canonical.ts'
import { fill, readTemplate, strayBraces, variablesIn } from './template.ts'
import { NamedVariables } from './variables.ts'

const variables = new NamedVariables(
  new Map<string, Json>([
    ['text', 'hi'],
    ['n', 3],
    ['list', ['a', 'b']],
    ['steps.a.text', 'x'],
    ['zero', 0],
    ['no', false],
  ]),
)
const filled = (source: Json): Json | undefined => fill(readTemplate(source), variables)

test('a text that is one variable keeps its type, within a text it is text', () => {
  expect(filled('{{n}}')).toBe(3)
  expect(filled('{{ n }}')).toBe(3)
  expect(filled('{{zero}}')).toBe(0)
  expect(filled('{{no}}')).toBe(false)
  expect(filled('n={{n}}')).toBe('n=3')
  expect(filled('{{list}}')).toEqual(['a', 'b'])
  expect(filled('{{text}}{{text}}')).toBe('hihi')
  expect(filled('<{{list}}>')).toBe('<["a","b"]>')
  expect(filled('{{steps.a.text}}')).toBe('x')
  expect(filled(7)).toBe(7)
  expect(filled('plain')).toBe('plain')
})

test('what is not there leaves out its field, its item, and its text', () => {
  expect(filled('{{absent}}')).toBeUndefined()
  expect(filled('a {{absent}} b')).toBeUndefined()
  expect(filled({ a: '{{absent}}', b: '{{n}}', c: { d: '{{absent}}' }, e: ['{{absent}}', 1] })).toEqual({
    b: 3,
    c: {},
    e: [1],
  })
})

test('what a client says is never a template', () => {
  const sly = new NamedVariables(
    new Map<string, Json>([
      ['text', '{{secret}}'],
      ['secret', 's'],
    ]),
  )
  expect(fill(readTemplate('{{text}} {{text}}'), sly)).toBe('{{secret}} {{secret}}')
})

test('names and braces that belong to none are found', () => {
  expect([...variablesIn(readTemplate({ a: ['{{x}}', { b: 'y {{y}} {{x}}' }] }))]).toEqual(['x', 'y'])
  expect(strayBraces('{{x}}')).toBe(false)
  expect(strayBraces('{x} }')).toBe(false)
  for (const bad of ['{{x', 'x}}', '{{ x y }}', '{{}}', ['{{']]) expect([bad, strayBraces(bad)]).toEqual([bad, true])
})

test('no template throws, and one without variables is what it was', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (source) => {
      const template = readTemplate(source as Json)
      const value = fill(template, variables)
      if (variablesIn(template).size === 0) expect(JSON.stringify(value)).toBe(JSON.stringify(source))
    }),
  )
  const words = fc
    .array(fc.constantFrom('{{', '}}', 'n', ' ', '{{n}}', '{{absent}}', '{{text}}', '{', '.'))
    .map((list) => list.join(''))
  fc.assert(fc.property(words, (text) => void filled(text)))
})

test('a key named like a prototype is a key', () => {
  const value = filled(JSON.parse('{"__proto__":"{{n}}"}') as Json) as Record<string, Json>
  expect(Object.hasOwn(value, '__proto__')).toBe(true)
  expect(JSON.stringify(value)).toBe('{"__proto__":3}')
})
