/** A request as a sidecar hands it on, and the rules that read who calls from it. */
import type { IncomingMessage } from 'node:http'
import { NodeReceived } from '../src/http/node-received.ts'

const CALLER = 'spiffe://cluster.local/ns/search/sa/frontend'

/** As Istio's proxies write it, with what a caller has put in front. */
export const XFCC = `By=spiffe://cluster.local/ns/llm/sa/heddle;Hash=${'5e'.repeat(32)};Subject="";URI=${CALLER}`

/** The same mechanism as `mesh.identity`, by the header's name: no mesh is looked for. */
export const identityOnly = `
auth:
  peers:
    header: x-forwarded-client-cert
    trust: [127.0.0.1, 127.0.0.6]
    map: [{ namespace: search, service_account: frontend, team: search }]
`

const LINES: readonly string[] = [
  'host',
  'heddle.llm:8080',
  'user-agent',
  'OpenAI/JS 7.57.0',
  'content-type',
  'application/json',
  'x-forwarded-proto',
  'http',
  'x-request-id',
  '5f0b8c2e-3a4f-9d7e-8a1b-2c3d4e5f6a7b',
  'x-envoy-attempt-count',
  '1',
  'x-forwarded-client-cert',
]
const TEXT = Buffer.from(XFCC)
const SOCKET = { remoteAddress: '127.0.0.6' }

/** One request; its header is a text of its own, as the parser makes it for each. startedAt: Clock.monotonic, ms. */
export const identityRequest = (body: Buffer, startedAt: number): NodeReceived => {
  const rawHeaders = [...LINES, TEXT.toString('latin1')]
  const message = { method: 'POST', url: '/v1/chat/completions', rawHeaders, headers: {}, socket: SOCKET }
  const received = new NodeReceived(message as unknown as IncomingMessage, startedAt)
  received.body = body
  return received
}
