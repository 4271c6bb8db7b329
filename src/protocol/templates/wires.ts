import type { MappedDialect, MappingConfig } from '../../contracts/config-mapping.ts'
import type { Dialect, Wire } from '../../contracts/dialect.ts'
import { kserveCodec } from '../kserve/wire.ts'
import { tensorflowCodec } from '../tensorflow/wire.ts'
import { torchserveCodec } from '../torchserve/wire.ts'
import { tritonCodec } from '../triton/wire.ts'
import { NO_MAPPING } from './defaults.ts'
import { mappedWire, type ServerCodec } from './mapped-wire.ts'
import { pipelineCodec } from './pipeline-wire.ts'

export const CODECS: Readonly<Record<MappedDialect, ServerCodec>> = {
  'tensorflow.predict': tensorflowCodec,
  'kserve.infer': kserveCodec,
  'triton.generate': tritonCodec,
  'torchserve.predict': torchserveCodec,
  pipeline: pipelineCodec,
}

export const isMapped = (dialect: Dialect | null): dialect is MappedDialect =>
  dialect !== null && Object.hasOwn(CODECS, dialect)

const wires = new WeakMap<MappingConfig, Map<MappedDialect, Wire>>()
const documented = new Map<MappedDialect, Wire>()

/** mapping: of the provider; null = none in particular, for the reference. The same mapping gives the same wire. */
export function mappedWireOf(dialect: MappedDialect, mapping: MappingConfig | null): Wire {
  let known = documented
  if (mapping !== null) {
    known = wires.get(mapping) ?? new Map<MappedDialect, Wire>()
    wires.set(mapping, known)
  }
  let wire = known.get(dialect)
  if (wire === undefined)
    known.set(dialect, (wire = mappedWire(CODECS[dialect], mapping ?? NO_MAPPING, mapping === null)))
  return wire
}
