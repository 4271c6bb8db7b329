import { mkdtempSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startFiles } from './files.ts'
import { SvidFault, type Material } from './material.ts'

let folder = ''
let now = 0
let look: () => void
let taken: string[]
let faults: string[]
let stop: () => void

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-svid-files-'))
  now = 0
  taken = []
  faults = []
})
afterEach(() => {
  stop()
  rmSync(folder, { recursive: true })
})

const put = (name: string, text: string): void => writeFileSync(join(folder, name), text)

/** A pair fits when certificate and key have the same number. */
const start = (): void => {
  const offer = ({ cert, key, bundle }: Material): void => {
    if (cert === 'old') throw new SvidFault('expired', 'old')
    if (cert.replace('cert', '') !== key.replace('key', '')) throw new SvidFault('mismatch', `${cert} ${key}`)
    taken.push(`${cert} ${bundle}`)
  }
  const source = startFiles(
    {
      cert: join(folder, 'cert.pem'),
      key: join(folder, 'key.pem'),
      bundle: join(folder, 'root.pem'),
      trustDomains: [],
    },
    {
      clock: { now: () => now, monotonic: () => now },
      every: (task, intervalMs) => {
        look = () => {
          now += intervalMs
          task()
        }
        return () => {}
      },
    },
  )
  stop = source({ offer, fault: ({ reason, message }) => void faults.push(`${reason} ${message}`) })
}
const looks = (n: number): void => {
  for (let i = 0; i < n; i++) look()
}

test('a rotation that is half-written is waited for: the pair is never mixed', () => {
  put('cert.pem', 'cert1')
  put('key.pem', 'key1')
  put('root.pem', 'root')
  start()
  expect(taken).toEqual(['cert1 root'])
  put('cert.pem', 'cert2-')
  looks(4)
  put('key.pem', 'key2-')
  looks(1)
  expect([taken, faults]).toEqual([['cert1 root'], []])
  looks(1)
  expect([taken, faults]).toEqual([['cert1 root', 'cert2- root'], []])
  put('root.pem', 'root2')
  looks(2)
  expect(taken).toEqual(['cert1 root', 'cert2- root', 'cert2- root2'])
})

test('a pair that never fits, and files that never come, are told of once', () => {
  start()
  looks(19)
  expect(faults).toEqual([])
  looks(10)
  expect(faults).toEqual([`source ${join(folder, 'cert.pem')} cannot be read: ENOENT`])
  put('cert.pem', 'cert1')
  put('key.pem', 'key2')
  put('root.pem', 'root')
  looks(40)
  expect(faults.slice(1)).toEqual(['mismatch cert1 key2'])
  put('key.pem', 'key1')
  looks(2)
  expect(taken).toEqual(['cert1 root'])
})

test('what has expired is no half of anything: it is told of at once', () => {
  put('cert.pem', 'old')
  put('key.pem', 'key1')
  put('root.pem', 'root')
  start()
  looks(5)
  expect(faults).toEqual(['expired old'])
})

test('volumes of Kubernetes are replaced as a whole, and taken at the first look', () => {
  const swap = (version: number): void => {
    const data = join(folder, `..${version}`)
    mkdirSync(data)
    for (const [name, text] of [
      ['cert.pem', `cert${version}`],
      ['key.pem', `key${version}`],
      ['root.pem', `root${version}`],
    ] as const)
      writeFileSync(join(data, name), text)
    symlinkSync(`..${version}`, join(folder, '..next'))
    renameSync(join(folder, '..next'), join(folder, '..data'))
  }
  swap(1)
  for (const name of ['cert.pem', 'key.pem', 'root.pem']) symlinkSync(join('..data', name), join(folder, name))
  start()
  swap(2)
  looks(1)
  expect(taken).toEqual(['cert1 root1', 'cert2 root2'])
})
