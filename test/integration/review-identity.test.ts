// Who sends a request is asked before its body is read; what may have happened meanwhile.
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  await gateway?.stop()
  gateway = null
})

const KEY = 'sk-Vb7kQ2mZx9TfLr4WPn3c'
const OTHER = 'sk-Pn3cY8sJd6GhKw1EVb7k'
const BODY = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hi' }] })
const config = (key: string): string => `
providers: { sim: }
models: { small: sim/sim-small }
auth: { keys: [{ id: ci, key: ${key} }] }
`

/** A connection, and what has come on it so far. */
const open = (): { socket: Socket; until: (pattern: RegExp) => Promise<string> } => {
  const socket = connect(gateway!.port, '127.0.0.1')
  closing.push(() => socket.destroy())
  let text = ''
  const waiting: (() => void)[] = []
  socket.on('data', (chunk) => {
    text += chunk.toString()
    for (const wake of waiting.splice(0)) wake()
  })
  socket.on('close', () => waiting.splice(0).forEach((wake) => wake()))
  socket.on('error', () => {})
  return {
    socket,
    until: async (pattern) => {
      while (!pattern.test(text)) {
        if (socket.destroyed) throw new Error(`ended after ${JSON.stringify(text)}`)
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
      return text
    },
  }
}

const head = (token: string, more = ''): string =>
  `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n` +
  `content-length: ${BODY.length}\r\n${more}\r\n`

test('a key that a reload has taken away while the body came is not good any more', async () => {
  gateway = await startGateway(config(KEY))
  const { socket, until } = open()
  socket.write(head(KEY, 'expect: 100-continue\r\n'))
  await until(/^HTTP\/1\.1 100 /)
  socket.write(BODY.slice(0, 10))
  expect(await gateway.reload(config(OTHER))).toBe(true)
  socket.write(BODY.slice(10))
  expect(await until(/HTTP\/1\.1 [2-5]\d\d /)).toContain('HTTP/1.1 401 ')
})

test('a key that is still there goes on after a reload', async () => {
  gateway = await startGateway(config(KEY))
  const { socket, until } = open()
  socket.write(head(KEY, 'expect: 100-continue\r\n'))
  await until(/^HTTP\/1\.1 100 /)
  expect(await gateway.reload(`${config(KEY)}# another text\n`)).toBe(true)
  socket.write(BODY)
  await until(/HTTP\/1\.1 200 /)
})

/** An issuer that answers when the test says so. */
const slowIssuer = async () => {
  const asked: ServerResponse[] = []
  const server = createServer((_req, res) => void asked.push(res))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const answer = (): void => asked.splice(0).forEach((res) => res.end('{"keys":[]}'))
  return { url: `http://127.0.0.1:${port}/keys`, answer, asked }
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const FORGED = `${part({ alg: 'ES256', kid: 'k' })}.${part({ iss: 'https://idp.example', aud: 'heddle', sub: 's', exp: 4e9 })}.${'A'.repeat(86)}`

test('a token that takes a while to be refused is refused before its body is there, and its body is not asked for', async () => {
  const issuer = await slowIssuer()
  gateway = await startGateway(`
providers: { sim: }
auth: { jwt: [{ name: idp, issuer: "https://idp.example", audience: heddle, jwks_url: "${issuer.url}" }] }
`)
  for (const more of ['', 'expect: 100-continue\r\n']) {
    const { socket, until } = open()
    socket.write(`${head(FORGED, more)}${more === '' ? BODY.slice(0, 10) : ''}`)
    // The first fetch may be over already: then nothing is waited for.
    const timer = setInterval(issuer.answer, 20)
    const text = await until(/HTTP\/1\.1 [2-5]\d\d /)
    clearInterval(timer)
    expect(text).toContain('HTTP/1.1 401 ')
    expect(text).not.toContain('HTTP/1.1 100 ')
    socket.destroy()
  }
})
