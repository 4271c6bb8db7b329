/** A Redis that has vector sets, for tests of what needs them. */
import { execFileSync } from 'node:child_process'
import { carriedServer, redisServer } from './redis.ts'

const hasVectors = (server: string): boolean => {
  const [, version] = /v=(\d+)/.exec(execFileSync(server, ['--version'], { encoding: 'utf8' })) ?? []
  return !server.endsWith('valkey-server') && Number(version ?? 0) >= 8
}

const find = (): string | null => {
  if (redisServer !== null && hasVectors(redisServer)) return redisServer
  const carried = carriedServer()
  return carried !== null && hasVectors(carried) ? carried : null
}

/** The file of a Redis 8; null = there is none to be had. */
export const vectorServer: string | null = find()
if (vectorServer === null) {
  process.stderr.write('\n*** No Redis 8: the tests of vector sets are SKIPPED. ***\n\n')
}
