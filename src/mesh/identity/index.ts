import type { HeddleConfig } from '../../contracts/config.ts'
import { sidecarAddresses } from './addresses.ts'
import { IdentityGate } from './gate.ts'
import { identityRules } from './rules.ts'

/** The gate of a configuration, whose `mesh.kind` has been looked for. */
export const identityGate = (
  config: Pick<HeddleConfig, 'mesh' | 'auth'>,
  own: readonly string[] = sidecarAddresses(),
): IdentityGate => new IdentityGate(identityRules(config, own))
