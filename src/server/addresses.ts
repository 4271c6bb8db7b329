import type { ServerConfig } from '../contracts/config.ts'
import type { Ports } from './messages.ts'
import { createServer } from 'node:net'

/** Workers share their port, and would share it with a stranger that does the same: an exclusive look comes first. */
export function expectFree(port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve()))
  })
}

/** The system's message, and what to do about it. */
export function portTaken(error: unknown): unknown {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return error
  const { code, syscall, port } = error as NodeJS.ErrnoException & { readonly port?: number }
  return Object.assign(
    new Error(
      `port ${port ?? ''} is taken by another process: stop it, or choose other ports with --port and --admin-port`,
      { cause: error },
    ),
    { code, syscall },
  )
}

/** An address to connect to: the any-address is no place to go. */
export const hostInUrl = (host: string): string =>
  host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host

/** As configured; 0 = any free one. */
export const wantedPorts = ({ port, tls, policy }: ServerConfig): Ports => ({
  plain: port,
  tls: tls?.port ?? 0,
  policy: policy?.port ?? 0,
  pickers: policy?.pickers.map((picker) => picker.port) ?? [],
})
