import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formField } from '../protocol/multipart.ts'
import { expectClearForm } from './form.ts'

const TYPE = 'multipart/form-data; boundary=B'
const part = (head: string, value: string): string => `--B\r\n${head}\r\n\r\n${value}\r\n`
const field = (name: string, value: string): string => part(`Content-Disposition: form-data; name="${name}"`, value)
const check = (text: string, type = TYPE): void => expectClearForm(Buffer.from(text, 'latin1'), type)

test('what clients send is clear', () => {
  const file = part(
    'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg',
    '\0--x',
  )
  check(`${file}${field('model', 'whisper-1')}--B--\r\n`)
  check(`${field('model', 'whisper-1')}${file}--B--`)
  check(`${file}--B--\r\n`)
})

test.each([
  ['two models', field('model', 'cheap') + field('model', 'dear')],
  ['a second one in another case', field('model', 'cheap') + field('Model', 'dear')],
  ['a second one without quotes', field('model', 'cheap') + part('Content-Disposition: form-data; name=model', 'dear')],
  [
    'a name in a type',
    part('Content-Disposition: form-data; name="a"\r\nContent-Type: x/y; name="model"', 'cheap') +
      field('model', 'dear'),
  ],
  ['a part within a value', field('prompt', `x${field('model', 'cheap')}`) + field('model', 'dear')],
  ['a second one behind many parts', field('model', 'cheap') + field('a', 'b').repeat(200) + field('model', 'dear')],
  ['a preamble', `x\r\n${field('model', 'cheap')}`],
  ['something behind the end', `${field('a', 'b')}--B--\r\n${field('model', 'dear')}`],
  ['another form of the name', part("Content-Disposition: form-data; name*=utf-8''model", 'dear')],
  ['an escape in the name', part('Content-Disposition: form-data; name="mod\\el"', 'dear')],
  ['bare line feeds', '--B\r\nX: y\nContent-Disposition: form-data; name="model"\r\n\r\ndear\r\n'],
])('refused: %s', (_name, text) => {
  expect(() => check(text)).toThrow('is not clear')
})

test.each(['multipart/form-data', 'multipart/form-data; boundary=A; boundary=B'])('refused: %s', (type) => {
  expect(() => check(`${field('model', 'x')}--B--`, type)).toThrow('is not clear')
})

test('any list of fields is clear, and the model that is read is the one that is there', () => {
  const name = fc.stringMatching(/^[a-z]{1,8}$/).filter((text) => text !== 'model')
  const value = fc.string().filter((text) => !text.includes('--B'))
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 10 }), fc.nat(10), (fields, at) => {
      const all = fields.map(([key, text]) => field(key, text))
      all.splice(at, 0, field('model', 'dear'))
      const body = Buffer.from(`${all.join('')}--B--\r\n`)
      expectClearForm(body, TYPE)
      expect(formField(body, TYPE, 'model')).toBe('dear')
    }),
  )
})
