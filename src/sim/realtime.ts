/** The Realtime API over a WebSocket, text only (openai-openapi `RealtimeServerEvent`): sessions, items, responses, errors. */
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocketServer } from 'ws'
import type { SimState } from './call.ts'
import { RealtimeSession } from './realtime-session.ts'

/** Bytes of one message, as OpenAI allows them. */
const MAX_MESSAGE = 15 * 1024 * 1024

export interface RealtimeParts {
  readonly state: SimState
  readonly apiKey: string | undefined
}

const refuse = (socket: Duplex, status: number, message: string): void => {
  const body = JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

/** Faults in a model's name that make sense here: `status=503`, and `drop_after=3` events. */
const faultIn = (model: string, name: string): number => Number(new RegExp(`~${name}=(\\d+)`).exec(model)?.[1] ?? 0)

/** Takes upgrades at `/v1/realtime`. Returns what ends the open sessions. */
export const attachRealtime = (server: Server, { state, apiKey }: RealtimeParts): (() => void) => {
  let sockets: WebSocketServer | null = null
  const accept = async (req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const url = new URL(req.url ?? '/', 'http://sim')
    if (url.pathname !== '/v1/realtime') return refuse(socket, 404, 'There are no WebSockets here.')
    if (apiKey !== undefined && req.headers.authorization !== `Bearer ${apiKey}`)
      return refuse(socket, 401, 'Incorrect API key provided.')
    const model = url.searchParams.get('model') ?? ''
    if (model === '') return refuse(socket, 400, 'You must provide a model parameter.')
    const status = faultIn(model, 'status')
    if (status !== 0) return refuse(socket, status, 'A fault was asked for.')
    const { WebSocketServer: Sockets } = await import('ws')
    sockets ??= new Sockets({
      noServer: true,
      maxPayload: MAX_MESSAGE,
      handleProtocols: (offered) => (offered.has('realtime') ? 'realtime' : false),
    })
    sockets.handleUpgrade(req, socket, head, (client) => {
      const session = new RealtimeSession(client, state, model.replace(/~.*$/, ''), faultIn(model, 'drop_after'))
      client.on('message', (data, binary) => session.take(data as Buffer, binary))
      client.on('error', () => client.terminate())
      session.begin()
    })
    return undefined
  }
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    accept(req, socket, head).catch(() => socket.destroy())
  })
  return () => {
    for (const client of sockets?.clients ?? []) client.terminate()
  }
}
