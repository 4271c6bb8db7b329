import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LineWriter } from './line-writer.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-lines-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const line = (i: number): string => `${i} ${'x'.repeat(i % 300)} ü\n`

test('lines reach a file whole and in order, whatever their number', async () => {
  const path = join(folder, 'log')
  const fd = openSync(path, 'w')
  const writer = new LineWriter({ fd, nonBlocking: false, shared: true })
  const lines = Array.from({ length: 3000 }, (_, i) => line(i))
  for (const l of lines) writer.write(l)
  await writer.flush()
  closeSync(fd)
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''))
})

test('a pipe that is full is waited for without blocking, and nothing is lost or doubled', async () => {
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  // Both ends open at once: nobody else has to come.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const writer = new LineWriter({ fd, nonBlocking: true, shared: false })
  const lines = Array.from({ length: 2000 }, (_, i) => line(i))
  for (const l of lines) writer.write(l)
  const flushed = writer.flush()
  const expected = Buffer.from(lines.join(''))
  const got: Buffer[] = []
  const chunk = Buffer.alloc(65536)
  for (let bytes = 0; bytes < expected.length;) {
    try {
      const n = readSync(fd, chunk)
      got.push(Buffer.from(chunk.subarray(0, n)))
      bytes += n
    } catch {
      // Empty for the moment: the writer looks again soon.
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  await flushed
  closeSync(fd)
  expect(Buffer.concat(got).equals(expected)).toBe(true)
  expect(writer.dropped).toBe(0)
})

test('a reader that never comes costs bounded memory, and what is dropped is counted', () => {
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const writer = new LineWriter({ fd, nonBlocking: true, shared: false })
  const long = `${'y'.repeat(10_000)}\n`
  for (let i = 0; i < 2000; i++) writer.write(long)
  // The descriptor stays open: the writer looks again from time to time, and must not find another file under its number.
  expect(writer.dropped).toBeGreaterThan(1000)
})
