import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CANARIES } from './lint-canaries.ts'
import { FOLDERS, PACKAGE_HOMES, mayImport } from './rows.ts'

const root = join(import.meta.dirname, '..', '..')
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'heddle-lint-')))
const found = new Map<string, string[]>()

const put = (path: string, code: string): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), `${code}\n`)
}

const lint = (cwd: string, ...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'node_modules/oxlint/bin/oxlint'), '--type-aware', ...args], {
    cwd,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })

const importPath = (from: string, to: string): string => `src/${from}/to-${to}.ts`
const packagePath = (from: string, name: string): string => `src/${from}/pkg-${name}.ts`

beforeAll(() => {
  copyFileSync(join(root, '.oxlintrc.json'), join(folder, '.oxlintrc.json'))
  copyFileSync(join(root, 'tsconfig.json'), join(folder, 'tsconfig.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const from of FOLDERS) {
    put(`src/${from}/target.ts`, `export const target = 1`)
    for (const to of FOLDERS) {
      put(importPath(from, to), `import { target } from '../${to}/target.ts'\n\nexport const seen = target`)
    }
    for (const name of Object.keys(PACKAGE_HOMES)) {
      put(packagePath(from, name), `import type * as everything from '${name}'\n\nexport type Seen = typeof everything`)
    }
    put(`src/${from}/deep/er/down.ts`, `import { target } from '../../../server.ts'\n\nexport const seen = target`)
  }
  put('src/server.ts', `export const target = 1`)
  for (const { path, code } of CANARIES) put(path, code)

  const { stdout, stderr } = lint(folder, '-f', 'json')
  const report = JSON.parse(stdout) as { diagnostics: { filename: string; code: string }[]; number_of_files: number }
  if (report.number_of_files < FOLDERS.length ** 2) throw new Error(`the linter saw too few files: ${stdout}${stderr}`)
  for (const { filename, code } of report.diagnostics) {
    found.set(filename, [...(found.get(filename) ?? []), code])
  }
}, 60_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const RESTRICTED = 'eslint(no-restricted-imports)'

describe('folder rows', () => {
  test.each(FOLDERS)('src/%s imports what lies below it and nothing else', (from) => {
    const refused = FOLDERS.filter((to) => found.get(importPath(from, to))?.includes(RESTRICTED))
    expect(refused).toEqual(FOLDERS.filter((to) => !mayImport(from, to)))
  })

  test('only src/cli may import the entry of the process, from any depth', () => {
    const refused = FOLDERS.filter((from) => found.get(`src/${from}/deep/er/down.ts`)?.includes(RESTRICTED))
    expect(refused).toEqual(FOLDERS.filter((from) => from !== 'cli'))
  })

  test.each(Object.entries(PACKAGE_HOMES))('package %s stays at home', (name, homes) => {
    const refused = FOLDERS.filter((from) => found.get(packagePath(from, name))?.includes(RESTRICTED))
    expect(refused).toEqual(FOLDERS.filter((from) => !homes.includes(from)))
  })
})

describe('rules', () => {
  test.each(CANARIES.filter((canary) => canary.rule !== null))('$rule fires on $path', ({ path, rule }) => {
    expect(found.get(path)).toContain(rule)
  })

  test.each(CANARIES.filter((canary) => canary.rule === null))('nothing fires on $path', ({ path }) => {
    expect(found.get(path)).toBeUndefined()
  })
})

test('the repository passes the linter, type-aware rules included', () => {
  const { status, stdout, stderr } = lint(root, '--deny-warnings')
  expect(status === 0 ? '' : stdout + stderr).toBe('')
}, 60_000)

test('the repository type-checks', () => {
  const args = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json']
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  expect(status === 0 ? '' : stdout).toBe('')
}, 60_000)
