import { createServer, type Server, type ServerResponse } from 'node:http'
import { createServer as createNetServer } from 'node:net'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { askLines, askOnce, type Ask } from './http.ts'
import { Loop, type DiscoveryParts } from './parts.ts'

const open: { close(): void; closeAllConnections?(): void }[] = []
const never = new AbortController().signal

const serve = async (
  answer: (response: ServerResponse) => void,
  make: (handler: Parameters<typeof createServer>[1]) => Server = createServer,
): Promise<string> => {
  const server = make((_request, response) => answer(response))
  open.push(server)
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections?.()
    server.close()
  }
})

const base = (url: string) => ({ url, headers: {}, ca: null })
const ask = (more: Partial<Ask> = {}): Ask => ({ path: '/x', timeoutMs: 2000, maxBytes: 1000, signal: never, ...more })
const reason = (word: string) => expect.objectContaining({ reason: word })

test('a server that says nothing is given up', async () => {
  const url = await serve(() => {})
  await expect(askOnce(base(url), ask({ timeoutMs: 50 }))).rejects.toEqual(reason('timeout'))
})

test('an answer that never ends is given up, small as it is', async () => {
  const url = await serve((response) => {
    response.write('[')
    const drip = setInterval(() => response.write(' '), 5)
    response.on('close', () => clearInterval(drip))
  })
  await expect(askOnce(base(url), ask({ timeoutMs: 100 }))).rejects.toEqual(reason('timeout'))
})

test('an answer that is too long is not read to its end', async () => {
  let written = 0
  const url = await serve((response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) written += 65_536
    }
    response.on('drain', more)
    more()
  })
  await expect(askOnce(base(url), ask())).rejects.toEqual(reason('too_large'))
  expect(written).toBeLessThan(64 * 1024 * 1024)
})

test('a line that is too long breaks the stream off; lines before it have been read', async () => {
  const url = await serve((response) => void response.end(`one\ntwo\n${'x'.repeat(5000)}`))
  const lines: string[] = []
  await expect(askLines(base(url), ask(), (line) => void lines.push(line))).rejects.toEqual(reason('too_large'))
  expect(lines).toEqual(['one', 'two'])
})

test('a stream ends when its time is up, and that is no fault', async () => {
  const url = await serve((response) => void response.write('one\nhalf'))
  const lines: string[] = []
  expect(await askLines(base(url), ask({ timeoutMs: 60 }), (line) => void lines.push(line))).toBeNull()
  expect(lines).toEqual(['one'])
})

test('a byte that was cut in two is put together', async () => {
  const bytes = Buffer.from('zürich\n')
  const url = await serve((response) => {
    response.write(bytes.subarray(0, 2), () => setImmediate(() => response.end(bytes.subarray(2))))
  })
  const lines: string[] = []
  await askLines(base(url), ask(), (line) => void lines.push(line))
  expect(lines).toEqual(['zürich'])
})

test('nobody there, and somebody who speaks no TLS', async () => {
  const url = await serve((response) => void response.end('[]'))
  await expect(askOnce(base(url.replace('http:', 'https:')), ask())).rejects.toEqual(reason('tls'))
  await expect(askOnce(base('http://127.0.0.1:1'), ask())).rejects.toEqual(reason('unreachable'))
})

test('a handshake that fails is told as such', async () => {
  // No certificate at all: the handshake ends with an alert.
  const url = await serve(
    (response) => void response.end(),
    (handler) => createTlsServer({}, handler),
  )
  await expect(askOnce(base(url.replace('http:', 'https:')), ask())).rejects.toEqual(reason('tls'))
})

test('what is closed ends at once', async () => {
  const sockets: { destroy(): void }[] = []
  const server = createNetServer((socket) => void sockets.push(socket))
  open.push(server)
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const closing = new AbortController()
  const asked = askOnce(
    base(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    ask({ timeoutMs: 60_000, signal: closing.signal }),
  )
  closing.abort()
  await expect(asked).rejects.toBeInstanceOf(Error)
  for (const socket of sockets) socket.destroy()
})

test('pauses after failures double up to their bound, half of each by chance; a success begins anew', async () => {
  const waits: number[] = []
  let fails = 6
  const parts: DiscoveryParts = {
    clock: { now: () => 0, monotonic: () => 0 },
    random: { next: () => 0 },
    version: 't',
    backoff: { baseMs: 100, maxMs: 1000 },
    later: (task, ms) => {
      waits.push(ms)
      if (waits.length < 9) queueMicrotask(task)
      return () => {}
    },
  }
  const reasons: string[] = []
  const loop = new Loop(parts, { error: (word) => void reasons.push(word) }, async () => {
    if (fails-- > 0) throw Object.assign(new Error('x'), { code: 'ECONNREFUSED' })
    if (fails === -2) throw new Error('again')
    return 7
  })
  await new Promise((resolve) => setImmediate(resolve))
  loop.close()
  expect(waits.slice(0, 9)).toEqual([50, 100, 200, 400, 500, 500, 7, 50, 7])
  expect(reasons.slice(0, 7)).toEqual([...Array.from({ length: 6 }, () => 'unreachable'), 'failed'])
})
