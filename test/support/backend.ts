/** A backend that does exactly what a test says, for what the simulator has no fault for. */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Backend {
  /** `http://127.0.0.1:PORT/v1` */
  readonly url: string
  /** Monotonic ms at which each request's head arrived. */
  readonly times: readonly number[]
  readonly bodies: readonly Buffer[]
  close(): Promise<void>
}

/** What the n-th request (from 0) gets; its body has been read. */
export type Script = (res: ServerResponse, n: number, req: IncomingMessage, body: Buffer) => void

export const startBackend = async (script: Script): Promise<Backend> => {
  const times: number[] = []
  const bodies: Buffer[] = []
  const server = createServer((req, res) => {
    const n = times.push(performance.now()) - 1
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const body = Buffer.concat(chunks)
      bodies.push(body)
      script(res, n, req, body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    times,
    bodies,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export const sendJson = (
  res: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void => {
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
  res.end(JSON.stringify(body))
}

export const CHAT_ANSWER = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'woven' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
}
