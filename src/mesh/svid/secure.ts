import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import type { Svid } from '../../contracts/config-svid.ts'

/**
 * What TLS gets of an SVID, as server and as client. Nothing is resumed: a resumed session would go on with the trust of
 * the moment at which it began, and without the chain that tells trust domains apart.
 */
export const secureOptions = (svid: Svid): SecureContextOptions => ({
  cert: svid.cert,
  key: svid.key,
  ca: [...new Set(Object.values(svid.bundles))],
  minVersion: 'TLSv1.2',
  secureOptions: constants.SSL_OP_NO_TICKET,
})
