// Entry of the process that reads the configuration once and ends.
import type { LoadReply, LoadRequest } from './load-config.ts'
import { ConfigError } from '../config/index.ts'
import { FOUND_MESH } from '../config/mesh-ports.ts'
import { loadMounted } from '../config/mounted.ts'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'

function read({ source, overrides, mesh }: LoadRequest): LoadReply {
  const env = mesh === null ? process.env : { ...process.env, [FOUND_MESH]: mesh }
  try {
    return { loaded: loadMounted(source, { presets: PRESETS, facts: modelFacts, prices: modelPrices, overrides, env }) }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

process.once('message', (request) => process.send!(read(request as LoadRequest)))
