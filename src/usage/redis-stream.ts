import type { StreamStore } from '../contracts/usage.ts'
import type { RedisStore } from '../store/redis.ts'
import { scriptOf } from '../store/redis.ts'

/** A script, because that is what the store can bound in time and repeat on a cluster. */
const APPEND = scriptOf("return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', ARGV[2], ARGV[3])")

/** The ledger's Redis as a store of records. prefix: of all keys there. */
export const streamStore = (store: Pick<RedisStore, 'run'>, prefix = ''): StreamStore => ({
  xadd: (stream, maxLength, field, value) => store.run(APPEND, [`${prefix}${stream}`], [maxLength, field, value]),
})
