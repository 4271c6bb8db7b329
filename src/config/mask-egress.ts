import type { EgressConfig } from '../contracts/config.ts'

/** The URL of a proxy holds no credentials; what it is shown is a secret. */
export const maskEgress = (egress: EgressConfig): EgressConfig =>
  egress.proxy?.authorization === undefined || egress.proxy.authorization === null
    ? egress
    : { ...egress, proxy: { ...egress.proxy, authorization: '***' } }
