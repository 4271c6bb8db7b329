import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { watchConfig } from './index.ts'
import type { ConfigWatcher, WatchOptions } from './index.ts'

let folder = ''
let changes = 0
let watcher: ConfigWatcher | undefined
let tick: () => void = () => undefined
let stopped = false

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-watch-'))
  changes = 0
  stopped = false
})
afterEach(() => {
  watcher?.close()
  rmSync(folder, { recursive: true })
})

const path = (...parts: readonly string[]): string => join(folder, ...parts)

const watch = async (more: Partial<WatchOptions> = {}): Promise<ConfigWatcher> => {
  watcher = await watchConfig({
    source: path('heddle.yaml'),
    onChange: () => {
      changes += 1
    },
    every: (task) => {
      tick = task
      return () => {
        stopped = true
      }
    },
    ...more,
  })
  return watcher
}

/** Two looks: one that sees the change, one that sees it settled. */
const settle = async ({ check }: ConfigWatcher): Promise<void> => {
  await check()
  await check()
}

test('a changed file is reported once, after it has settled', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const watching = await watch()
  await settle(watching)
  expect(changes).toBe(0)
  writeFileSync(path('heddle.yaml'), 'a: 22')
  await watching.check()
  expect(changes).toBe(0)
  await watching.check()
  expect(changes).toBe(1)
  await settle(watching)
  expect(changes).toBe(1)
})

test('while a file is still being written nothing is reported', async () => {
  writeFileSync(path('heddle.yaml'), '')
  const watching = await watch()
  for (const text of ['a', 'a: ', 'a: 1']) {
    writeFileSync(path('heddle.yaml'), text)
    await watching.check()
    expect(changes).toBe(0)
  }
  await watching.check()
  expect(changes).toBe(1)
})

test('a change that is taken back is none, nor is a touch', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const watching = await watch()
  writeFileSync(path('heddle.yaml'), 'a: 2')
  await watching.check()
  writeFileSync(path('heddle.yaml'), 'a: 1')
  await settle(watching)
  await settle(watching)
  expect(changes).toBe(0)
})

test('an atomic rename is seen', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const watching = await watch()
  writeFileSync(path('new'), 'a: 2')
  renameSync(path('new'), path('heddle.yaml'))
  await settle(watching)
  expect(changes).toBe(1)
})

test('a ConfigMap swap is seen: the file is a link through ..data, which is replaced', async () => {
  mkdirSync(path('..v1'))
  mkdirSync(path('..v2'))
  writeFileSync(path('..v1', 'heddle.yaml'), 'a: 1')
  writeFileSync(path('..v2', 'heddle.yaml'), 'a: 2')
  symlinkSync('..v1', path('..data'))
  symlinkSync(join('..data', 'heddle.yaml'), path('heddle.yaml'))
  const watching = await watch()
  symlinkSync('..v2', path('..data_tmp'))
  renameSync(path('..data_tmp'), path('..data'))
  await settle(watching)
  expect(changes).toBe(1)
})

test('in a folder, files that change, come and go are seen; others are not', async () => {
  mkdirSync(path('conf'))
  writeFileSync(path('conf', 'a.yaml'), 'a: 1')
  const watching = await watch({ source: path('conf') })
  writeFileSync(path('conf', 'notes.txt'), 'x')
  writeFileSync(path('conf', '.b.yaml.swp'), 'x')
  await settle(watching)
  expect(changes).toBe(0)
  writeFileSync(path('conf', 'b.yml'), 'b: 1')
  await settle(watching)
  expect(changes).toBe(1)
  rmSync(path('conf', 'b.yml'))
  await settle(watching)
  expect(changes).toBe(2)
})

test('a file that disappears and comes back the same is no change', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const watching = await watch()
  rmSync(path('heddle.yaml'))
  await watching.check()
  writeFileSync(path('heddle.yaml'), 'a: 1')
  await settle(watching)
  expect(changes).toBe(0)
})

test('secret files are watched too, and may change with the configuration', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  writeFileSync(path('key'), 'k1')
  writeFileSync(path('key2'), 'k1')
  const watching = await watch({ files: [path('key')] })
  writeFileSync(path('key'), 'k2')
  await settle(watching)
  expect(changes).toBe(1)
  await watching.setFiles([path('key2')])
  await settle(watching)
  expect(changes).toBe(1)
  writeFileSync(path('key2'), 'k2')
  await settle(watching)
  expect(changes).toBe(2)
})

test('what a reload has read already is not reported again, half-seen or not', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  writeFileSync(path('key'), 'k1')
  const watching = await watch({ files: [path('heddle.yaml'), path('key')] })
  writeFileSync(path('heddle.yaml'), 'a: 2')
  writeFileSync(path('key'), 'k2')
  await watching.check()
  const read = await watching.note()
  await settle(watching)
  read(true)
  await settle(watching)
  expect(changes).toBe(0)
  writeFileSync(path('key'), 'k1')
  await settle(watching)
  expect(changes).toBe(1)
})

test('what changes while a reload reads is still reported, and a reload that failed has read nothing', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const watching = await watch()
  writeFileSync(path('heddle.yaml'), 'a: 2')
  const read = await watching.note()
  writeFileSync(path('heddle.yaml'), 'a: 3')
  read(true)
  await settle(watching)
  expect(changes).toBe(1)
  writeFileSync(path('heddle.yaml'), 'a: 4')
  const failed = await watching.note()
  failed(false)
  await settle(watching)
  expect(changes).toBe(2)
})

test('a change that arrives while the set of files changes is not lost', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  writeFileSync(path('key'), 'k')
  const watching = await watch()
  writeFileSync(path('heddle.yaml'), 'a: 2')
  await watching.setFiles([path('key')])
  await settle(watching)
  expect(changes).toBe(1)
})

test('the callback may set the files and wait for it, and the next change is still seen', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  writeFileSync(path('key'), 'k')
  const watching = await watch({
    onChange: async () => {
      changes += 1
      await watcher?.setFiles([path('heddle.yaml'), path('key')])
    },
  })
  for (const [i, text] of ['a: 2', 'a: 3'].entries()) {
    writeFileSync(path('heddle.yaml'), text)
    await settle(watching)
    expect(changes).toBe(i + 1)
  }
  writeFileSync(path('key'), 'new')
  await settle(watching)
  expect(changes).toBe(3)
  await settle(watching)
  expect(changes).toBe(3)
})

test('an error of the callback is reported and does not stop the watching', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const errors: unknown[] = []
  const watching = await watch({
    onChange: () => {
      changes += 1
      throw new Error('reload failed')
    },
    onError: (error) => errors.push(error),
  })
  for (const text of ['a: 2', 'a: 3']) {
    writeFileSync(path('heddle.yaml'), text)
    await settle(watching)
  }
  expect(errors).toHaveLength(2)
})

test('the timer drives it until it is closed', async () => {
  writeFileSync(path('heddle.yaml'), 'a: 1')
  const watching = await watch()
  writeFileSync(path('heddle.yaml'), 'a: 2')
  tick()
  // Looks queue up: this one runs after the timer's.
  await watching.check()
  expect(changes).toBe(1)
  watching.close()
  expect(stopped).toBe(true)
  writeFileSync(path('heddle.yaml'), 'a: 3')
  await settle(watching)
  expect(changes).toBe(1)
})

test('a volume of kubelet is taken at the first look: each of its states is complete when it appears', async () => {
  let generation = 0
  const put = (text: string): void => {
    const name = `..gen_${generation++}`
    mkdirSync(path(name))
    writeFileSync(path(name, 'heddle.yaml'), text)
    symlinkSync(name, path('..data_tmp'))
    renameSync(path('..data_tmp'), path('..data'))
    if (generation > 1) rmSync(path(`..gen_${generation - 2}`), { recursive: true })
  }
  put('a: 1')
  symlinkSync(join('..data', 'heddle.yaml'), path('heddle.yaml'))
  const { check } = await watch({ source: folder })
  await check()
  expect(changes).toBe(0)
  put('a: 2')
  await check()
  expect(changes).toBe(1)
  await check()
  expect(changes).toBe(1)
  // A file beside it that is written in place must settle first.
  writeFileSync(path('own.yaml'), 'b: 1')
  await check()
  expect(changes).toBe(1)
  await check()
  expect(changes).toBe(2)
})
