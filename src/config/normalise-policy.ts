import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { ParsedConfig } from './schema.ts'

export const toPolicyService = ({ policy }: ParsedConfig['server']): PolicyServiceConfig | null =>
  policy === undefined
    ? null
    : {
        host: policy.host,
        port: policy.port,
        socket: policy.socket ?? null,
        tls: policy.tls,
        services: [...new Set(policy.services)],
        authz: { limits: policy.authz.limits },
        extProc: {
          credentials: policy.ext_proc.credentials,
          rewrite: policy.ext_proc.rewrite,
          maxStreams: policy.ext_proc.max_streams,
        },
        settleMs: policy.settle_within,
        pickers: policy.pickers,
      }
