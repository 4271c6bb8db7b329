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

/** Besides the usual ones those that proxies of Istio offer in mutual TLS (istio `pilot/pkg/xds/filters`). */
export const SERVER_ALPN: readonly string[] = ['h2', 'http/1.1', 'istio-h2', 'istio-http/1.1', 'istio']
/** As Istio's sidecars call: theirs tell mutual TLS of the mesh by it. */
export const CLIENT_ALPN: readonly string[] = ['istio-http/1.1', 'istio', 'http/1.1']
