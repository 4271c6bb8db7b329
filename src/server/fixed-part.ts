import type { HeddleConfig } from '../contracts/config.ts'

/** What of `server:` needs a restart: certificates do not. */
export const fixedPart = ({ server }: HeddleConfig): string =>
  JSON.stringify({
    ...server,
    tls: server.tls === null ? null : { port: server.tls.port, ask: server.tls.clientCert, svid: server.tls.svid },
  })
