import fc from 'fast-check'
import { expect, test } from 'vitest'
import { numberFlag, parseArgs, switchFlag, textFlag, UsageError } from './command.ts'
import type { CommandSpec } from './command.ts'

const spec: CommandSpec = {
  name: 'do',
  args: '[FILE]',
  maxArgs: 1,
  summary: '',
  details: '',
  examples: [],
  flags: [
    { name: 'port', short: 'p', value: 'PORT', env: 'PORT', help: '' },
    { name: 'json', help: '' },
    { name: 'insecure', env: 'INSECURE', help: '' },
  ],
}
const range = { min: 0, max: 100 }

test.each([
  [[], [], {}],
  [['file'], ['file'], {}],
  [['-p', '5', 'file'], ['file'], { port: '5' }],
  [['file', '--port=5'], ['file'], { port: '5' }],
  [['--port', '5', '--json'], [], { port: '5', json: true }],
  [['--port', '-1'], [], { port: '-1' }],
  [['--', '--json'], ['--json'], {}],
  [['-'], ['-'], {}],
  [['-h', 'a', 'b'], ['a', 'b'], { help: true }],
])('%j', (argv, positional, flags) => {
  const args = parseArgs(spec, argv)
  expect(args.positional).toEqual(positional)
  expect(Object.fromEntries(args.flags)).toEqual(flags)
})

test.each([
  [['--prot', '5'], 'unknown flag `--prot`; did you mean `--port`?'],
  [['--zzz'], 'unknown flag `--zzz`'],
  [['-x'], 'unknown flag `-x`'],
  [['--port'], '`--port` needs a value: PORT'],
  [['--port='], '`--port` needs a value: PORT'],
  [['--json=yes'], '`--json` takes no value'],
  [['a', 'b'], 'unexpected argument `b`'],
])('%j is refused', (argv, message) => {
  expect(() => parseArgs(spec, argv)).toThrow(new UsageError(message))
})

test('a flag wins over its variable, an empty variable is none', () => {
  const given = parseArgs(spec, ['--port', '5'])
  const none = parseArgs(spec, [])
  expect(numberFlag(spec, given, 'port', { PORT: '6' }, range)).toBe(5)
  expect(numberFlag(spec, none, 'port', { PORT: ' 6 ' }, range)).toBe(6)
  expect(numberFlag(spec, none, 'port', { PORT: '' }, range)).toBeUndefined()
  expect(textFlag(spec, none, 'port', {})).toBeUndefined()
})

test.each([
  [['--port', '101'], {}, '`--port` must be a number from 0 to 100, not `101`'],
  [['--port', '-1'], {}, '`--port` must be a number from 0 to 100, not `-1`'],
  [['--port', '1e1'], {}, '`--port` must be a number from 0 to 100, not `1e1`'],
  [[], { PORT: 'http' }, 'environment variable PORT must be a number from 0 to 100, not `http`'],
])('%j with %j is no port', (argv, env, message) => {
  expect(() => numberFlag(spec, parseArgs(spec, argv), 'port', env, range)).toThrow(new UsageError(message))
})

test('a switch is true by flag, `1` or `true`, and otherwise not said', () => {
  const none = parseArgs(spec, [])
  expect(switchFlag(spec, parseArgs(spec, ['--insecure']), 'insecure', {})).toBe(true)
  expect(switchFlag(spec, none, 'insecure', { INSECURE: '1' })).toBe(true)
  expect(switchFlag(spec, none, 'insecure', { INSECURE: 'TRUE' })).toBe(true)
  expect(switchFlag(spec, none, 'insecure', { INSECURE: '0' })).toBeUndefined()
  expect(switchFlag(spec, none, 'json', {})).toBeUndefined()
})

test('any arguments are parsed or refused with a UsageError', () => {
  const word = fc.oneof(fc.string(), fc.constantFrom('--port', '-p', '--json', '--', '-', '--port=1', '--help'))
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      try {
        parseArgs(spec, argv)
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError)
      }
    }),
  )
})
