/** A connection that must not be used: not a fault of the network, whose codes the system has. */
export const EGRESS_REFUSED = 'HEDDLE_EGRESS_REFUSED'

/** The other end of a connection is not who may be called, or we cannot show who we are. */
export const PEER_REFUSED = 'HEDDLE_PEER_REFUSED'

export const refusedPeer = (message: string): Error => Object.assign(new Error(message), { code: PEER_REFUSED })

export const refusedEgress = (message: string): Error => Object.assign(new Error(message), { code: EGRESS_REFUSED })
