// Connections, probes and starts in a mesh that somebody attacks, or that go wrong at the worst moment.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Agent, createServer as createHttpServer } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fetchSmall } from '../../src/core/http-client.ts'
import { dropStalled } from '../../src/http/node-reply.ts'
import { detectMesh } from '../../src/mesh/detect.ts'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { call, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { open as openSocket } from './abuse-kit.ts'
import { freePort } from '../mesh/kit/health-port.ts'

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

const closing = closedAfterEach()

const gateway = async (server: string): Promise<Gateway> => {
  const started = await startGateway(`
server: { log: { level: silent, access: false }${server} }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat }
`)
  closing.push(() => started.stop())
  return started
}

/** Answers every connection with these bytes. */
const says = async (text: string): Promise<number> => {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {}).once('data', () => socket.write(text))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => void socket.on('error', () => {}).once('close', () => resolve()))

describe('who answers where a proxy would', () => {
  test('a protocol that nobody asked for is an answer like no other: nobody waits for ever', async () => {
    const port = await says('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
    await expect(fetchSmall(`http://127.0.0.1:${port}/`, { timeoutMs: 2000 })).rejects.toThrow(`127.0.0.1:${port}: `)
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
    const ports = { istioStatus: port, linkerdAdmin: port }
    expect(await detectMesh({ env, timeoutMs: 1, ports })).toMatchObject({ kind: 'none' })
  })
})

describe('probes', () => {
  test('with a body hold no stream of HTTP/2', async () => {
    const { url } = await gateway('')
    const session = connectHttp2(url)
    closing.push(() => session.destroy())
    const stream = session.request({ ':path': '/healthz/live', ':method': 'POST' })
    stream.on('error', () => {}).resume()
    const over = new Promise((resolve) => void stream.once('close', () => resolve(stream.rstCode)))
    const status = await new Promise((resolve) => stream.once('response', (head) => resolve(head[':status'])))
    expect(status).toBe(405)
    stream.write('x')
    expect(await over).toBe(0)
  })

  test('with a body end their connection: what follows is never taken for a body, nor a body for what follows', async () => {
    const { port } = await gateway('')
    for (const head of [
      'content-length: 100000000',
      'transfer-encoding: chunked',
      'content-length: 40\r\nexpect: 100-continue',
    ]) {
      const socket = await openSocket(port)
      const heard: Buffer[] = []
      socket.on('data', (chunk: Buffer) => heard.push(chunk))
      const end = closed(socket)
      socket.write(`GET /healthz/live HTTP/1.1\r\nhost: t\r\n${head}\r\n\r\n`)
      await end
      expect(Buffer.concat(heard).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n/i)
    }
  })

  test('whose answers nobody reads hold no stream', async () => {
    const { url } = await gateway(', limits: { client_stall: 300ms }')
    const session = connectHttp2(url, { settings: { initialWindowSize: 0 } })
    closing.push(() => session.destroy())
    const stream = session.request({ ':path': '/healthz/live' })
    stream.on('error', () => {}).resume()
    await new Promise((resolve) => stream.once('close', resolve))
    expect(session.destroyed).toBe(false)
  })
})

describe('connections that are kept for as long as their proxy wants', () => {
  test('HTTP/2 that opens no stream is not one of them', async () => {
    const { port } = await gateway(', keep_alive: 0, limits: { header_timeout: 300ms }')
    const silent = await openSocket(port)
    const end = closed(silent)
    silent.resume().write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    await end
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    closing.push(() => session.destroy())
    const ask = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':path': '/healthz/live' })
        stream.on('response', (head) => resolve(head[':status'])).on('error', reject)
        stream.resume()
      })
    session.on('error', () => {})
    expect(await ask()).toBe(200)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(await ask()).toBe(200)
  })

  test('a large answer leaves no clock behind that would cut the next one', async () => {
    const stallMs = 1000
    const large = Buffer.alloc(16 * 1024 * 1024)
    let waited = false
    const server = createHttpServer({ keepAliveTimeout: 0 }, (req, res) => {
      if (req.url === '/large') {
        res.end(large)
        waited = res.socket!.writableLength > 0
        dropStalled(res, stallMs)
        // Nothing moves on the connection for longer than a client may take to read.
      } else setTimeout(() => res.end('late'), 2 * stallMs)
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    closing.push(() => server.close())
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    closing.push(() => agent.destroy())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect((await call(`${url}/large`, { agent })).text.length).toBe(large.length)
    expect(waited).toBe(true)
    expect((await call(`${url}/next`, { agent })).text).toBe('late')
  })

  test.skipIf(process.platform !== 'linux')('are asked whether somebody is still there', async () => {
    const { port } = await gateway(', keep_alive: 0')
    const socket = await openSocket(port)
    closing.push(() => socket.destroy())
    socket.resume().write('GET /healthz/live HTTP/1.1\r\nhost: t\r\n\r\n')
    const local = hex(port)
    const remote = hex((socket.address() as AddressInfo).port)
    // proc(5) net/tcp: the fields are local and remote address, state, queues, then timer 02 = keep-alive.
    const asks = (): boolean =>
      readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .some((line) => {
          const [, from = '', to = '', , , timer = ''] = line.trim().split(/\s+/)
          return from.endsWith(`:${local}`) && to.endsWith(`:${remote}`) && timer.startsWith('02')
        })
    await until(asks)
    expect(asks()).toBe(true)
  })
})

test('a signal that comes as soon as somebody can be served ends the process in order', async () => {
  const port = await freePort()
  const env = { ...process.env, NODE_COMPILE_CACHE: CACHE }
  const args = [ENTRY, 'serve', '--port', String(port), '--admin-port', '0']
  const child = spawn(process.execPath, args, { env, cwd: tmpdir(), stdio: 'ignore' })
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)))
  closing.push(() => child.kill('SIGKILL'))
  await until(async () => (await call(`http://127.0.0.1:${port}/healthz/live`).catch(() => null)) !== null, 10_000)
  child.kill('SIGTERM')
  expect(await exited).toBe(0)
})

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/heddle', import.meta.url))
const ENTRY = fileURLToPath(new URL('../../src/cli/entry.ts', import.meta.url))
const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0')
