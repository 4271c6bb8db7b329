/** What `auth.peers` and `mesh.identity` check alike. */
import { isIP, isIPv4 } from 'node:net'
import type { Build } from './build.ts'
import type { Path } from './problem.ts'

/** `10.0.0.0/8`, `::1/128`, or one address. */
const isRange = (text: string): boolean => {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  if (isIP(address) === 0 || address.includes('%')) return false
  if (slash < 0) return true
  const bits = text.slice(slash + 1)
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv4(address) ? 32 : 128)
}

/** Headers that requests cannot do without: one that names callers is taken away from all who read headers. */
const NEEDED: ReadonlySet<string> = new Set([
  'accept',
  'api-key',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'idempotency-key',
  'transfer-encoding',
  'x-api-key',
  'x-goog-api-key',
  'x-request-id',
])

/** A fault when that header has another use already. */
export const checkHeader = (
  header: string | undefined,
  path: Path,
  { map, problems }: Pick<Build, 'map' | 'problems'>,
): void => {
  if (header !== undefined && NEEDED.has(header.toLowerCase()))
    problems.push(map.problem(path, 'has another use: it cannot tell who calls'))
}

/** A fault for each that is neither an address nor a CIDR range. */
export const checkRanges = (
  ranges: readonly string[],
  path: Path,
  { map, problems }: Pick<Build, 'map' | 'problems'>,
): void => {
  ranges.forEach((range, i) => {
    if (isRange(range)) return
    problems.push(map.problem([...path, i], 'must be an address or a range such as `10.0.0.0/8`'))
  })
}
