import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { userEnv } from './user-env.ts'

const root = join(import.meta.dirname, '..', '..')
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const folderWith = (files: Readonly<Record<string, string>>): string => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'heddle-scripts-')))
  folders.push(folder)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

const run = (script: string, args: readonly string[] = []) =>
  spawnSync('node', [script, ...args], { encoding: 'utf8', env: userEnv })

describe('scripts/test.mjs', () => {
  const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? ''
  const runTests = (files: Readonly<Record<string, string>>) => {
    const folder = folderWith({
      'package.json': '{"type":"module"}',
      'vitest.config.js': 'export default {}',
      ...files,
    })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    return run(join(root, 'scripts', 'test.mjs'), ['--root', folder])
  }
  const head = `import { expect, test } from 'vitest'\n`

  test('counts what passed, and says nothing else after it', () => {
    const { stdout, status } = runTests({ 'a.test.js': `${head}test('x', () => expect(1).toBe(1))` })
    expect(lastLine(stdout)).toBe('1 passed, 0 failed, 0 skipped')
    expect(status).toBe(0)
  })

  test('counts failures, skips, todos, and a file that does not load', () => {
    const { stdout, status } = runTests({
      'a.test.js': `${head}test('x', () => expect(1).toBe(2))\ntest('y', () => expect(1).toBe(1))\ntest.skip('z', () => {})\ntest.todo('w')`,
      'b.test.js': `import './missing.js'\n${head}test('x', () => {})`,
    })
    expect(lastLine(stdout)).toBe('1 passed, 2 failed, 2 skipped')
    expect(status).toBe(1)
  })

  test('counts an error outside of every test as a failure', () => {
    const late = `${head}test('x', async () => {\n  void Promise.reject(new Error('late'))\n  await new Promise((r) => setImmediate(r))\n})`
    const { stdout, status } = runTests({ 'a.test.js': late })
    expect(lastLine(stdout)).toBe('1 passed, 1 failed, 0 skipped')
    expect(status).toBe(1)
  })

  test('does not pass when there was nothing to run', () => {
    const { stdout, status } = runTests({})
    expect(lastLine(stdout)).toBe('0 passed, 1 failed, 0 skipped')
    expect(status).toBe(1)
  })
})

describe('scripts/setup.mjs', () => {
  const project = (): string => {
    const dependency = { resolved: 'dep', link: true }
    const lock = {
      name: 'p',
      version: '1.0.0',
      lockfileVersion: 3,
      requires: true,
      packages: {
        '': { name: 'p', version: '1.0.0', dependencies: { dep: 'file:dep' } },
        dep: { version: '1.0.0' },
        'node_modules/dep': dependency,
      },
    }
    const folder = folderWith({
      'package.json': JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { dep: 'file:dep' } }),
      'package-lock.json': JSON.stringify(lock),
      'dep/package.json': JSON.stringify({ name: 'dep', version: '1.0.0' }),
    })
    cpSync(join(root, 'scripts', 'setup.mjs'), join(folder, 'scripts', 'setup.mjs'))
    return folder
  }
  const setUp = (folder: string, ...args: string[]) => run(join(folder, 'scripts', 'setup.mjs'), args)

  test('installs once, then keeps quiet until the lockfile asks for something else', () => {
    const folder = project()
    const first = setUp(folder)
    expect(first.stderr).toContain('installing dependencies')
    expect(first.status).toBe(0)
    expect(setUp(folder)).toMatchObject({ stdout: '', stderr: '', status: 0 })

    // Another text that asks for the same: what npm has noted down is believed.
    appendFileSync(join(folder, 'package-lock.json'), '\n')
    expect(setUp(folder)).toMatchObject({ stdout: '', stderr: '', status: 0 })

    rmSync(join(folder, 'node_modules'), { recursive: true })
    expect(setUp(folder).stderr).toContain('installing dependencies')
  })

  test('a set-up for running is not one for testing', () => {
    const folder = project()
    setUp(folder)
    expect(setUp(folder, '--dev')).toMatchObject({ stderr: '', status: 0 })
    expect(setUp(folder, '--dev')).toMatchObject({ stderr: '', status: 0 })
  })

  test('says so when it cannot install', () => {
    const folder = project()
    writeFileSync(join(folder, 'package.json'), '{ broken')
    const { stderr, status } = setUp(folder)
    expect(stderr).toContain('npm could not install the dependencies')
    expect(status).toBe(1)
  })
})
