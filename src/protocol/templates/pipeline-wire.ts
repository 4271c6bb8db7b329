import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { ServerCodec } from './mapped-wire.ts'
import { isObject } from '../canonical/read.ts'

/** A pipeline runs in Heddle itself: what its steps can name goes in, what the last one says comes out. */
export const pipelineCodec: ServerCodec = {
  dialect: 'pipeline',
  path: () => '/run',
  body(plan, variables): JsonObject {
    const named: [string, Json][] = []
    for (const name of plan.variables) {
      const value = variables.get(name)
      if (value !== undefined) named.push([name, value])
    }
    return Object.fromEntries(named)
  },
  lookup: (body) => (isObject(body) ? (name) => (Object.hasOwn(body, name) ? body[name] : undefined) : null),
}
