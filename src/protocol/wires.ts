import type { Dialect, Wire } from '../contracts/dialect.ts'
import { GatewayError } from '../core/errors.ts'
import { anthropicMessagesWire } from './anthropic/wire.ts'

const WIRES: ReadonlyMap<Dialect, Wire> = new Map<Dialect, Wire>([['anthropic.messages', anthropicMessagesWire]])

/** How backends of a dialect are spoken to. Throws GatewayError for one that only clients speak. */
export function wireOf(dialect: Dialect): Wire {
  const wire = WIRES.get(dialect)
  if (wire === undefined) throw new GatewayError('internal', `No backend is spoken to in ${dialect}.`)
  return wire
}
