import type { Endpoint } from '../../contracts/cluster.ts'
import { parseAddress } from '../../core/host-port.ts'
import { endpointOf, weightOf, wordOf } from './address.ts'
import { listOf, mapOf, parseJson, textOf, type Json } from './json.ts'
import { DiscoveryFault } from './parts.ts'

/** First key that does not begin with the prefix: its last byte that is not 255 counted up (etcd's API guide). */
export function rangeEnd(prefix: Buffer): Buffer {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i]!
    if (byte < 0xff) {
      const end = Buffer.from(prefix.subarray(0, i + 1))
      end[i] = byte + 1
      return end
    }
  }
  return Buffer.from([0])
}

/** Bytes of a value that could still be an endpoint. */
const MAX_VALUE = 4096

/**
 * The value of a key: `host:port`, or JSON {address, weight, zone, priority, state, name}. key: names the endpoint unless
 * the value does. null = it is neither.
 */
export function endpointInEtcd(key: string, value: string): Endpoint | null {
  const text = value.trim()
  if (text.length > MAX_VALUE) return null
  if (!text.startsWith('{')) {
    const at = parseAddress(text)
    return at === null ? null : endpointOf(at, { name: wordOf(key) })
  }
  let json: Json
  try {
    json = mapOf(JSON.parse(text))
  } catch {
    return null
  }
  const at = parseAddress(textOf(json['address']))
  if (at === null) return null
  const { weight, priority, state } = json
  if (weight !== undefined && !(typeof weight === 'number' && weight > 0)) return null
  if (priority !== undefined && !(Number.isInteger(priority) && Number(priority) >= 0)) return null
  if (state !== undefined && state !== 'ready' && state !== 'draining') return null
  return endpointOf(at, {
    weight: weightOf(weight),
    priority: typeof priority === 'number' ? priority : 0,
    zone: wordOf(json['zone']),
    state: state === 'draining' ? 'draining' : 'ready',
    name: wordOf(json['name']) || wordOf(key),
  })
}

const decode = (value: unknown): string => Buffer.from(textOf(value), 'base64').toString('utf8')

export interface KeyValue {
  readonly key: string
  readonly value: string
}

const pairOf = (kv: unknown): KeyValue => ({ key: decode(mapOf(kv)['key']), value: decode(mapOf(kv)['value']) })

/** int64 comes as text in JSON. */
const revisionIn = (header: unknown): number => {
  const revision = Number(mapOf(header)['revision'])
  return Number.isSafeInteger(revision) && revision > 0 ? revision : 0
}

/** An answer of /v3/kv/range. Throws DiscoveryFault `invalid`. */
export function readRange(body: string): {
  readonly revision: number
  readonly pairs: readonly KeyValue[]
  readonly more: boolean
} {
  const json = mapOf(parseJson(body, 'range'))
  const revision = revisionIn(json['header'])
  if (revision === 0) throw new DiscoveryFault('invalid', 'range: no revision')
  return { revision, pairs: listOf(json['kvs']).map(pairOf), more: json['more'] === true }
}

export interface WatchEvent extends KeyValue {
  readonly deleted: boolean
}

/**
 * One line of the answer to /v3/watch. compacted: what was asked for is no longer there. Throws DiscoveryFault when the
 * watch has ended otherwise, or the line is none.
 */
export function readWatch(line: string): { readonly compacted: boolean; readonly events: readonly WatchEvent[] } {
  const json = mapOf(parseJson(line, 'watch'))
  if (json['error'] !== undefined) throw etcdFault(mapOf(json['error']))
  const result = mapOf(json['result'])
  if (revisionIn(result['header']) === 0) throw new DiscoveryFault('invalid', 'watch: no revision')
  if (Number(result['compact_revision'] ?? 0) > 0) return { compacted: true, events: [] }
  if (result['canceled'] === true) {
    const reason = textOf(result['cancel_reason'])
    throw new DiscoveryFault(/permission|auth/.test(reason) ? 'denied' : 'failed', 'watch: cancelled')
  }
  const events = listOf(result['events']).map((event) => ({
    ...pairOf(mapOf(event)['kv']),
    deleted: mapOf(event)['type'] === 'DELETE',
  }))
  return { compacted: false, events }
}

/** gRPC codes: 7 permission denied, 16 unauthenticated; etcd says 3 of a missing or outdated token. */
export function etcdFault(error: Json): DiscoveryFault {
  const code = Number(error['code'] ?? error['grpc_code'])
  const text = textOf(error['message']) || textOf(error['error'])
  const denied = code === 7 || code === 16 || (code === 3 && /user name|auth|token|password/.test(text))
  return new DiscoveryFault(denied ? 'denied' : 'failed', `etcd: code ${Number.isFinite(code) ? code : 'unknown'}`)
}
