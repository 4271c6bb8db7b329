import { expect, test } from 'vitest'
import { COMMANDS } from './commands.ts'
import type { ExplainRequest } from '../pipeline/explain.ts'
import { execute } from './main.ts'
import type { Modules } from './main.ts'
import type { ServeOptions } from './serve.ts'

interface World {
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
  readonly modules?: Partial<Modules>
}

const run = async (argv: readonly string[], { env = {}, files = {}, modules = {} }: World = {}) => {
  let out = ''
  let err = ''
  const served: ServeOptions[] = []
  const explained: ExplainRequest[] = []
  const simulated: (readonly string[])[] = []
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    env,
    cwd: '/nowhere',
    exists: (path: string) => path in files,
    read: (path: string): string => {
      const text = files[path]
      if (text === undefined) throw new Error('no such file')
      return text
    },
  }
  const code = await execute(argv, io, {
    serve: async (options) => void served.push(options),
    explain: (_config, input) => {
      explained.push(input)
      return { text: 'because' }
    },
    sim: async (rest) => {
      simulated.push(rest)
      return undefined
    },
    ...modules,
  })
  return { code, out, err, served, explained, simulated }
}

test('without arguments it serves what is there', async () => {
  expect(await run([])).toMatchObject({ code: 0, served: [{}], err: '' })
  expect((await run([], { files: { '/nowhere/heddle.yaml': '' } })).served).toEqual([{ config: 'heddle.yaml' }])
  expect((await run([], { files: { '/nowhere/heddle.yml': '' } })).served).toEqual([{ config: 'heddle.yml' }])
})

test('flags win over the environment', async () => {
  const env = { PORT: '1', ADMIN_PORT: '2', HEDDLE_CONFIG: 'env.yaml', HEDDLE_HOST: '::1', HEDDLE_WORKERS: 'auto' }
  const fromEnv = { config: 'env.yaml', host: '::1', port: 1, adminPort: 2, workers: 'auto' }
  expect((await run(['serve'], { env })).served).toEqual([fromEnv])
  const argv = ['-p', '3', '--admin-port', '4', '-c', 'f.yaml', '--host', '127.0.0.1', '--insecure', '--workers', '2']
  expect((await run(argv, { env })).served).toEqual([
    { config: 'f.yaml', host: '127.0.0.1', port: 3, adminPort: 4, insecure: true, workers: 2 },
  ])
})

test.each([
  [['serv'], 'unknown command `serv`; did you mean `serve`?'],
  [['serve', 'x'], 'unexpected argument `x`'],
  [['--prot', '1'], 'did you mean `--port`?'],
  [['--port', '65536'], '`--port` must be a number from 0 to 65535'],
  [['--port', '9', '--admin-port', '9'], 'must differ'],
  [['--workers', '0'], '`--workers` must be a number from 1 to 1024'],
  [['help', 'nope'], 'unknown command `nope`'],
  [['explain'], 'needs a file with a request'],
  [['explain', 'gone.json'], 'gone.json cannot be read'],
  [['explain', '--operation', 'paint', 'r.json'], '`--operation` must be one of chat,'],
  [['explain', '--header', 'novalue', 'r.json'], '`--header` must be NAME:VALUE'],
])('%j is wrong usage', async (argv, message) => {
  const { code, out, err } = await run(argv, { files: { '/nowhere/r.json': '{}' } })
  expect(code).toBe(2)
  expect(out).toBe('')
  expect(err).toContain(message)
  expect(err).toMatch(/See `heddle .*--help`/)
})

test.each(Object.keys(COMMANDS))('%s has help with usage, flags and examples', async (name) => {
  if (name === 'sim') return expect((await run(['sim', '--help', '-x'])).simulated).toEqual([['--help', '-x']])
  const { code, out } = await run([name, '--help'])
  expect(code).toBe(0)
  expect(out).toContain(`Usage: heddle ${name}`)
  expect(out).toContain('Examples:')
  expect(out).toContain('Exit codes:')
  expect(out.split('\n').filter((line) => line.length > 120)).toEqual([])
  expect((await run(['help', name])).out).toBe(out)
})

test('help lists every command', async () => {
  const { out } = await run(['--help'])
  for (const name of Object.keys(COMMANDS)) expect(out).toContain(`\n  ${name}`)
  expect((await run(['help'])).out).toBe(out)
})

test('version, as text and as JSON', async () => {
  const { out } = await run(['version'])
  expect(out).toMatch(/^heddle \d+\.\d+\.\d+/)
  expect((await run(['--version'])).out).toBe(out)
  expect(JSON.parse((await run(['version', '--json'])).out)).toMatchObject({
    version: out.slice('heddle '.length).trim(),
  })
})

test('schema prints the JSON Schema', async () => {
  expect(JSON.parse((await run(['schema'])).out)).toMatchObject({ type: 'object', additionalProperties: false })
})

test('check without a file tells what the environment turns on', async () => {
  const { code, out } = await run(['check'], { env: { OPENAI_API_KEY: 'sk-secret' } })
  expect(code).toBe(0)
  expect(out).toContain('openai  openai  https://api.openai.com/v1')
  expect(out).not.toContain('sk-secret')
})

test('check of what is not there says so and ends with 3', async () => {
  const text = await run(['check', 'gone.yaml'])
  expect(text).toMatchObject({ code: 3, out: '' })
  expect(text.err).toBe('/nowhere/gone.yaml: no such file or directory\n1 problem in the configuration\n')
  const json = await run(['check', '--json', 'gone.yaml'])
  expect(json).toMatchObject({ code: 3, err: '' })
  expect(JSON.parse(json.out)).toMatchObject({ ok: false, problems: [{ message: 'no such file or directory' }] })
})

test('explain hands over body, headers and operation', async () => {
  const files = { '/nowhere/r.json': '{"model":"a","messages":[]}', '-': '{"input":"x","dimensions":3}' }
  const first = await run(['explain', 'r.json', '-H', 'X-Tier: paid'], { files })
  expect(first).toMatchObject({ code: 0, out: 'because\n' })
  expect(first.explained).toEqual([
    { operation: 'chat', body: { model: 'a', messages: [] }, headers: { 'x-tier': 'paid' } },
  ])
  const second = await run(['explain', '--json', '-'], { files })
  expect(second.explained[0]?.operation).toBe('embeddings')
  expect(JSON.parse(second.out)).toEqual({ text: 'because' })
  const third = await run(['explain', '--operation', 'responses', '-'], { files })
  expect(third.explained[0]?.operation).toBe('responses')
})

test.each(['[]', '"x"', 'null', '{'])('explain refuses %s as a request', async (text) => {
  expect(await run(['explain', '-'], { files: { '-': text } })).toMatchObject({ code: 2, explained: [] })
})

test('sim gets its own arguments and gives the exit code', async () => {
  expect((await run(['sim', '--port', '9'])).simulated).toEqual([['--port', '9']])
  expect((await run(['sim'], { modules: { sim: async () => 7 } })).code).toBe(7)
})

test('a fault ends with 1: in one line when the system refused, with the stack when it is ours', async () => {
  const refused = Object.assign(new Error('listen EADDRINUSE: address already in use'), {
    code: 'EADDRINUSE',
    syscall: 'listen',
  })
  const busy = await run([], { modules: { serve: () => Promise.reject(refused) } })
  expect(busy).toMatchObject({ code: 1, err: 'heddle: listen EADDRINUSE: address already in use\n' })
  const broken = await run([], { modules: { serve: () => Promise.reject(new Error('bug')) } })
  expect(broken.code).toBe(1)
  expect(broken.err).toContain('main.test.ts')
})
