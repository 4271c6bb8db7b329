// All of h2spec (github.com/summerwind/h2spec) against our server side: RFC 9113 and RFC 7541, 145 cases. Its program is built by `go`
// into node_modules/.cache, or found as HEDDLE_H2SPEC or on the path; without both the test says so and is skipped.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { encodeHeaders } from '../../src/protocol/http2/hpack-encoder.ts'
import { Http2Server } from '../../src/protocol/http2/server.ts'

const MODULE = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible'
const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/h2spec')
const BUILD_MS = 240_000

function runs(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Null = it is not to be had here. */
function h2spec(): string | null {
  const named = process.env['HEDDLE_H2SPEC']
  if (named !== undefined) return named
  if (runs('h2spec', '--version')) return 'h2spec'
  const built = join(FOLDER, 'h2spec')
  if (existsSync(built)) return built
  if (!runs('go', 'version')) return null
  mkdirSync(FOLDER, { recursive: true })
  try {
    execFileSync('go', ['install', MODULE], {
      env: { ...process.env, GOBIN: FOLDER, GOFLAGS: '-mod=mod' },
      stdio: 'ignore',
      timeout: BUILD_MS,
    })
    return built
  } catch {
    return null
  }
}

const HEAD = encodeHeaders([':status', '200', 'content-type', 'text/plain'])
const BODY = Buffer.from('hello')

test(
  'h2spec finds nothing',
  async (context) => {
    const program = h2spec()
    if (program === null) {
      process.stderr.write('SKIPPED: h2spec is not installed, and cannot be built without `go`\n')
      context.skip()
      return
    }
    const server = new Http2Server((stream, _head, ended) => {
      const answer = (): void => {
        stream.respond(HEAD)
        stream.write(BODY)
        stream.end(null)
      }
      stream.handler = { onData() {}, onEnd: answer, onClose() {}, onDrain() {} }
      if (ended) answer()
    })
    const listener = createServer((socket) => server.accept(socket))
    await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve))
    const { port } = listener.address() as AddressInfo
    try {
      const text = await new Promise<string>((resolve) => {
        execFile(program, ['-h', '127.0.0.1', '-p', String(port), '-o', '2'], (_error, stdout) => resolve(stdout))
      })
      expect(text).toContain('145 tests, 145 passed, 0 skipped, 0 failed')
    } finally {
      server.close()
      listener.close()
    }
  },
  BUILD_MS + 60_000,
)
