// What stands beside a process in a pod, played by small servers on free ports.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Played {
  readonly port: number
  readonly asked: { readonly at: number; readonly method: string; readonly url: string; readonly head: string }[]
  close(): Promise<void>
}

/** port 0 = any free one. `head` of what was asked: the raw header lines. */
export async function play(
  answer: (req: IncomingMessage, res: ServerResponse) => void,
  port = 0,
): Promise<Played & { readonly server: Server }> {
  const asked: Played['asked'] = []
  const server = createServer((req, res) => {
    asked.push({ at: performance.now(), method: req.method!, url: req.url!, head: req.rawHeaders.join('\n') })
    answer(req, res)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    server,
    port: (server.address() as AddressInfo).port,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** A port on which nobody listens now. */
export async function freePort(): Promise<number> {
  const played = await play(() => {})
  await played.close()
  return played.port
}
