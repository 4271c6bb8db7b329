import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { importsOf, judgeImports } from './import-scan.ts'

const root = join(import.meta.dirname, '..', '..')

describe('the scan sees', () => {
  const sources: readonly [string, string][] = [
    ['a value import', `import { x } from '../routing/x.ts'`],
    ['an import over several lines', `import {\n  x,\n  y,\n} from '../routing/x.ts'`],
    ['a type import', `import type { X } from '../routing/x.ts'`],
    ['a re-export', `export * from '../routing/x.ts'`],
    ['a side-effect import', `import '../routing/x.ts'`],
    ['a dynamic import', `const m = await import('../routing/x.ts')`],
    ['an import in a type', `type X = import('../routing/x.ts').X`],
    ['an import after another statement', `const a = 1; import { x } from '../routing/x.ts'`],
  ]
  test.each(sources)('%s', (_name, text) => {
    expect(importsOf(text)).toEqual(['../routing/x.ts'])
    expect(judgeImports('src/auth/canary.ts', text)).toEqual([
      'src/auth/canary.ts: src/auth may not import routing/x.ts',
    ])
  })

  test('no import in a comment', () => {
    expect(importsOf(`// import '../routing/x.ts'\n/* import('../routing/x.ts') */\nconst a = 1`)).toEqual([])
  })
})

describe('the judge', () => {
  test('lets lower rows and the own folder pass', () => {
    const text = `import '../core/x.ts'\nimport '../contracts/x.ts'\nimport './y.ts'\nimport 'node:fs'\nimport 'zod'`
    expect(judgeImports('src/auth/sub/../canary.ts', text)).toEqual([])
  })

  test('counts folders from src, however deep the file is', () => {
    expect(judgeImports('src/auth/deep/er/canary.ts', `import '../../../http/x.ts'`)).toHaveLength(1)
    expect(judgeImports('src/auth/deep/er/canary.ts', `import '../../x.ts'`)).toEqual([])
  })

  test('lets the files of src itself import everything, and only the command line import them', () => {
    expect(judgeImports('src/server.ts', `import './http/x.ts'\nimport 'fastify'`)).toEqual([])
    expect(judgeImports('src/cli/main.ts', `await import('../server.ts')`)).toEqual([])
    expect(judgeImports('src/http/canary.ts', `await import('../server.ts')`)).toHaveLength(1)
  })

  test('refuses folders without a row, paths out of src and packages away from home', () => {
    expect(judgeImports('src/misc/canary.ts', '')).toEqual(['src/misc/canary.ts: src/misc is in no row'])
    expect(judgeImports('src/auth/canary.ts', `import '../../test/x.ts'`)).toHaveLength(1)
    expect(judgeImports('src/auth/canary.ts', `import { Pool } from 'undici'`)).toHaveLength(1)
    expect(judgeImports('src/pipeline/canary.ts', `await import('zod/v4/core')`)).toHaveLength(1)
  })
})

test('src keeps to the rows', () => {
  const files = globSync('src/**/*.ts', { cwd: root }).filter(
    (file) => !file.endsWith('.test.ts') && !file.includes('assembly'),
  )
  expect(files.length).toBeGreaterThan(0)
  expect(files.flatMap((file) => judgeImports(file, readFileSync(join(root, file), 'utf8')))).toEqual([])
})
