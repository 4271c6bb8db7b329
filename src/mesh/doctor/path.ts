/** What only the way through the proxies can tell: a request is sent along it to an echo of our own. */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { HeddleConfig } from '../../contracts/config.ts'
import type { MeshKind } from '../../contracts/config-mesh.ts'
import { fetchSmall } from '../../core/http-client.ts'
import { lastElement } from '../identity/xfcc.ts'
import { fault, ok, skipped, warning, type Finding } from './finding.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

const MARK = 'x-heddle-doctor'
const FORGED = 'spiffe://forged.invalid/ns/none/sa/nobody'
const PROBE_MS = 10_000
/** A stream may go on for so long; a proxy that gives a route less would cut it. */
const LONG_MS = 600_000

const first = (value: string | string[] | undefined): string => (Array.isArray(value) ? value.join(',') : (value ?? ''))

/** Answers what the doctor's own requests ask for, nobody else's. */
export class Echo {
  readonly #token = randomUUID()
  readonly #server: Server
  readonly #counts = new Map<string, number>()
  seen: Headers = {}

  constructor() {
    this.#server = createServer((req, res) => this.#answer(req, res))
  }

  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => resolve((this.#server.address() as AddressInfo).port))
    })
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  #answer(req: IncomingMessage, res: ServerResponse): void {
    const [token, probe = ''] = first(req.headers[MARK]).split(' ')
    if (token !== this.#token) {
      res.writeHead(404).end()
      return
    }
    this.#counts.set(probe, (this.#counts.get(probe) ?? 0) + 1)
    this.seen = req.headers
    if (probe === 'echo') res.writeHead(200).end()
    else res.writeHead(503, probe === 'veto' ? { 'x-envoy-ratelimited': 'true' } : {}).end()
  }

  /** How often a request for that probe has arrived. */
  async send(via: string, probe: string, headers: Readonly<Record<string, string>> = {}): Promise<number> {
    this.#counts.delete(probe)
    const mark = { [MARK]: `${this.#token} ${probe}`, ...headers }
    await fetchSmall(via, { headers: mark, timeoutMs: PROBE_MS, maxBytes: 65_536 })
    return this.#counts.get(probe) ?? 0
  }
}

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const B3_TRACE = '463ac35c9f6413ad48485a3953bb6124'
const B3_SPAN = '0020000000000001'

export interface PathOptions {
  readonly config: HeddleConfig
  readonly kind: MeshKind
  /** URL whose way leads through the proxies back to the echo; null = none was given. */
  readonly via: string | null
  readonly echo: Echo
}

const PATH_IDS = [
  'headers',
  'xfcc-forgeable',
  'l5d-forgeable',
  'request-id',
  'tracer',
  'route-timeout',
  'retries-amplified',
] as const

const allSkipped = (why: string): readonly Finding[] => PATH_IDS.map((id) => skipped(id, why))

export async function pathFindings({ config, kind, via, echo }: PathOptions): Promise<readonly Finding[]> {
  if (via === null) return allSkipped('give `--via URL` and `--echo-port PORT`: a way through the proxies back to here')
  const requestId = randomUUID()
  const sent: Readonly<Record<string, string>> = {
    'x-forwarded-client-cert': `By=${FORGED};URI=${FORGED}`,
    'l5d-client-id': 'nobody.none.serviceaccount.identity.forged.invalid',
    'x-request-id': requestId,
    'x-envoy-max-retries': '0',
    // Longer than any route's: where it is obeyed it must not look like a limit.
    'x-envoy-upstream-rq-timeout-ms': '3600000',
    traceparent: TRACE,
    'x-b3-traceid': B3_TRACE,
    'x-b3-spanid': B3_SPAN,
    'x-b3-sampled': '1',
  }
  try {
    const arrived = await echo.send(via, 'echo', sent)
    if (arrived === 0) return allSkipped(`${new URL(via).host} does not lead back to here`)
    const { seen } = echo
    return [
      removed(sent, seen),
      xfcc(seen, kind),
      linkerdId(seen, kind),
      unpacked(first(seen['x-request-id'])) === unpacked(requestId)
        ? ok('request-id', 'passed on unchanged')
        : fault(
            'request-id',
            'a proxy puts its own in the place of x-request-id: traces end there, and logs cannot be joined',
            'Do not set `use_remote_address` on inner hops, or set `preserve_external_request_id`.',
          ),
      tracer(seen, config, kind),
      routeTimeout(seen),
      await amplified(echo, via, config.mesh.retries.veto),
    ]
  } catch (error) {
    return allSkipped(`the probe failed: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Envoy writes into the 14th digit of an id why it traces. */
const unpacked = (id: string): string => id.slice(0, 14) + id.slice(15)

function removed(sent: Headers, seen: Headers): Finding {
  const gone = Object.keys(sent).filter((name) => seen[name] === undefined)
  return ok('headers', gone.length === 0 ? 'everything arrives' : `the proxies take away ${gone.join(', ')}`)
}

function xfcc(seen: Headers, kind: MeshKind): Finding {
  const value = first(seen['x-forwarded-client-cert'])
  if (value === '') return ok('xfcc-forgeable', 'a forged one is taken away')
  // What the proxy adds stands behind what came in.
  const last = lastElement(value)
  if (last !== null && !JSON.stringify(last).includes(FORGED))
    return ok('xfcc-forgeable', 'the proxy writes the last element itself')
  const message = 'a forged x-forwarded-client-cert arrives as it was sent: any caller can be anybody'
  const advice = 'Set the proxy to APPEND_FORWARD or SANITIZE_SET, and leave `mesh.identity.trust: none` until then.'
  return kind === 'istio' || kind === 'istio-ambient'
    ? fault('xfcc-forgeable', message, advice)
    : warning('xfcc-forgeable', message, advice)
}

function linkerdId(seen: Headers, kind: MeshKind): Finding {
  if (seen['l5d-client-id'] === undefined) return ok('l5d-forgeable', 'a forged one is taken away')
  if (!first(seen['l5d-client-id']).includes('forged.invalid')) return ok('l5d-forgeable', 'the proxy writes it itself')
  return kind === 'linkerd'
    ? fault(
        'l5d-forgeable',
        'a forged l5d-client-id arrives: the way does not lead through Linkerd’s proxy',
        'Check that the pod is meshed and the port is not skipped.',
      )
    : ok('l5d-forgeable', 'this mesh passes it on; Heddle believes it in Linkerd only')
}

type Family = 'w3c' | 'b3' | 'both' | 'none'

function family(seen: Headers): Family {
  const w3c = first(seen['traceparent']) !== TRACE
  const b3 = first(seen['x-b3-spanid']) !== B3_SPAN
  return w3c && b3 ? 'both' : w3c ? 'w3c' : b3 ? 'b3' : 'none'
}

function tracer(seen: Headers, { tracing }: HeddleConfig, kind: MeshKind): Finding {
  const written = family(seen)
  if (written === 'none')
    return warning('tracer', 'the proxies trace nothing', 'Configure a tracing provider of the mesh (Telemetry).')
  if (kind !== 'istio' && kind !== 'istio-ambient') return ok('tracer', `the proxies write ${written}`)
  const expected = tracing.parent === 'auto' ? (tracing.istioProvider === 'zipkin' ? 'b3' : 'w3c') : tracing.parent
  if (written === 'both' || written === expected) return ok('tracer', `the proxies write ${written}, as configured`)
  return fault(
    'tracer',
    `the proxies write ${written === 'b3' ? 'B3' : 'W3C'}, Heddle takes ${expected === 'b3' ? 'B3' : 'W3C'} for fresh: its spans hang on a stale parent`,
    `Set \`tracing.istio_provider: ${written === 'b3' ? 'zipkin' : 'otel'}\`.`,
  )
}

function routeTimeout(seen: Headers): Finding {
  const text = first(seen['x-envoy-expected-rq-timeout-ms'])
  const ms = /^\d{1,10}$/.test(text) ? Number(text) : 0
  if (ms === 0 || ms >= LONG_MS) return ok('route-timeout', ms === 0 ? 'none on the way' : `${ms / 1000} s`)
  return fault(
    'route-timeout',
    `a proxy gives requests ${ms / 1000} s, to the end of the answer: longer streams are cut`,
    'Set `timeout: 0s` on the route (VirtualService, HTTPRoute `timeouts.request`).',
  )
}

async function amplified(echo: Echo, via: string, veto: boolean): Promise<Finding> {
  const plain = await echo.send(via, 'plain')
  const vetoed = await echo.send(via, 'veto')
  if (vetoed > 1)
    return fault(
      'retries-amplified',
      `a proxy sends a request ${vetoed} times although the answer forbids it`,
      'Take the retries off the route to Heddle: `retries: { attempts: 0 }`.',
    )
  if (plain > 1 && !veto)
    return fault(
      'retries-amplified',
      `proxies send a request that fails ${plain} times, each with all of Heddle’s own attempts`,
      'Leave `mesh.retries.veto` on, or take the retries off the route to Heddle: `retries: { attempts: 0 }`.',
    )
  if (plain > 1)
    return warning(
      'retries-amplified',
      `proxies send a request that fails ${plain} times; the veto keeps them from it`,
      'Better take the retries off the route to Heddle: `retries: { attempts: 0 }`.',
    )
  return ok('retries-amplified', 'the proxies on this way retry nothing')
}
