import type { SvidSource } from '../contracts/config-svid.ts'
import { peerFromCertificate } from '../auth/peer.ts'
import type { Feeds } from './feeds.ts'

/** What a worker's connections see of the SVID that the main thread follows. */
export const svidSource = (feeds: Feeds): SvidSource => ({
  get svid() {
    return feeds.svid
  },
  watchSvid: (onSvid) => feeds.watchSvid(onSvid),
  read: peerFromCertificate,
})
