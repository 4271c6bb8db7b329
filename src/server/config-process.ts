// Entry of the process that reads the configuration once and ends.
import type { LoadReply, LoadRequest } from './load-config.ts'
import { ConfigError, loadConfig } from '../config/index.ts'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'

function read({ source, overrides }: LoadRequest): LoadReply {
  try {
    return { loaded: loadConfig(source, { presets: PRESETS, facts: modelFacts, prices: modelPrices, overrides }) }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

process.once('message', (request) => process.send!(read(request as LoadRequest)))
