/** A connection that must not be used: not a fault of the network, whose codes the system has. */
export const EGRESS_REFUSED = 'HEDDLE_EGRESS_REFUSED'

export const refusedEgress = (message: string): Error => Object.assign(new Error(message), { code: EGRESS_REFUSED })
