/** Child of bench/policy.ts: node:http2 and nothing else, that answers as if it allowed everything. What its streams cost is the floor of whoever uses it. */
import { createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'

/** An empty CheckResponse with status 0 and an ok_response, behind its five bytes. */
const ALLOWED = Buffer.from([0, 0, 0, 0, 4, 0x0a, 0, 0x1a, 0])

const server = createServer({ settings: { maxConcurrentStreams: 10_000 } })
server.on('stream', (stream: ServerHttp2Stream) => {
  stream.on('data', () => {})
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(ALLOWED)
  })
})
server.listen(0, '127.0.0.1', () => void process.send!({ port: (server.address() as AddressInfo).port }))
// The parent is gone: nobody would end this process.
process.on('disconnect', () => process.exit())
