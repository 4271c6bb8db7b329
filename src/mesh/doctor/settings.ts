/** What can be judged by the configuration and the environment alone. */
import type { HeddleConfig, ProviderConfig } from '../../contracts/config.ts'
import type { MeshKind } from '../../contracts/config-mesh.ts'
import type { Detected } from '../detect.ts'
import { isLoopback } from '../../core/loopback.ts'
import { keepAliveOf, propagationOf } from '../rules.ts'
import { fault, ok, skipped, warning, type Finding } from './finding.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Envoy closes idle connections to its backends after an hour. */
const PROXY_IDLE_MS = 3_600_000
/** The shortest idle limit of streams that proxies have by default: Envoy 5 minutes, load balancers of clouds 60 s. */
const STREAM_IDLE_MS = 60_000
/** Last bytes, spans and records after the last stream. */
const LAST_MS = 10_000

export interface Surroundings {
  readonly config: HeddleConfig
  readonly env: Env
  readonly detected: Detected
  /** What holds: as configured, or what was found for `auto`. */
  readonly kind: MeshKind
}

export function settingFindings(about: Surroundings): readonly Finding[] {
  return [
    meshFinding(about),
    readyFinding(about),
    kindFinding(about),
    keepAlive(about),
    drain(about),
    heartbeat(about),
    providerFailure(about),
    retryOwner(about),
    ...about.config.providers.map(plaintext).filter((finding) => finding !== null),
    identityTrust(about),
  ]
}

function meshFinding({ kind, detected }: Surroundings): Finding {
  if (kind === 'none') return ok('mesh', 'no mesh: nothing answers on the health ports of Istio’s or Linkerd’s proxy')
  const mode = kind === 'istio-ambient' ? 'ambient, no sidecar' : 'sidecar'
  const version = detected.version === '' ? '' : `, version ${detected.version}`
  return ok('mesh', `${kind === 'linkerd' ? 'Linkerd' : 'Istio'} (${mode}${version})`)
}

function readyFinding({ kind, detected }: Surroundings): Finding {
  if (kind === 'none' || kind === 'istio-ambient') return skipped('proxy-ready', 'no proxy belongs into this pod')
  if (detected.proxy === null || !detected.expected)
    return fault(
      'proxy-ready',
      `\`mesh.kind\` is ${kind}, and no proxy answers in this pod`,
      kind === 'istio'
        ? 'Label the pod `sidecar.istio.io/inject: "true"` and start it again, or set `mesh.kind: none`.'
        : 'Annotate the pod `linkerd.io/inject: enabled` and start it again, or set `mesh.kind: none`.',
    )
  if (!detected.ready)
    return fault('proxy-ready', 'the proxy is there and not ready', 'Look at its log: its control plane may be away.')
  return ok('proxy-ready', 'the proxy is ready')
}

function kindFinding({ config, detected }: Surroundings): Finding {
  const configured = config.mesh.kind
  const known = detected.proxy !== null && detected.expected
  if (configured === 'auto' || !known) return ok('kind-mismatch', `\`mesh.kind\` is ${configured}`)
  if (configured === detected.kind) return ok('kind-mismatch', `\`mesh.kind\` is ${configured}, and so is the proxy`)
  return fault(
    'kind-mismatch',
    `\`mesh.kind\` is ${configured}, and the proxy in this pod is ${detected.kind}’s`,
    `Set \`mesh.kind: ${detected.kind}\`, or \`auto\`: identity headers and traces go by it.`,
  )
}

function keepAlive({ config, kind }: Surroundings): Finding {
  const ms = keepAliveOf({ ...config, mesh: { ...config.mesh, kind } })
  if (kind === 'none') return skipped('keep-alive', 'no proxy keeps connections to this process')
  if (ms === 0 || ms > PROXY_IDLE_MS) return ok('keep-alive', 'idle connections are the proxy’s to close')
  return fault(
    'keep-alive',
    `idle connections are closed after ${ms / 1000} s, the proxy uses them for an hour: calls will meet closing ones (503 UC)`,
    'Leave `server.keep_alive` at `auto`, or set it to 0.',
  )
}

function drain({ config, kind, env }: Surroundings): Finding {
  const propagation = propagationOf({ ...config, mesh: { ...config.mesh, kind } })
  const needs = propagation + config.server.drain.maxMs + LAST_MS
  const text = env['HEDDLE_TERMINATION_GRACE_SECONDS']
  const sum = `${propagation / 1000} s of notice, ${config.server.drain.maxMs / 1000} s of streams, ${LAST_MS / 1000} s of last bytes`
  if (text === undefined || !/^\d{1,6}$/.test(text))
    return skipped(
      'drain',
      `HEDDLE_TERMINATION_GRACE_SECONDS is not set; \`terminationGracePeriodSeconds\` must be ${needs / 1000} or more (${sum})`,
    )
  if (Number(text) * 1000 >= needs) return ok('drain', `${text} s until the pod is killed cover ${sum}`)
  return fault(
    'drain',
    `the pod is killed after ${text} s; a drain takes up to ${needs / 1000} s (${sum}): streams will be cut`,
    `Set \`terminationGracePeriodSeconds: ${needs / 1000}\`, or lower \`server.drain.max\`.`,
  )
}

function heartbeat({ config, kind }: Surroundings): Finding {
  const { heartbeatMs } = config.server
  if (heartbeatMs > 0 && heartbeatMs < STREAM_IDLE_MS) return ok('heartbeat', `every ${heartbeatMs / 1000} s`)
  const message =
    heartbeatMs === 0
      ? 'silent streams get no comment: proxies with an idle limit will cut models that think for long'
      : `a comment every ${heartbeatMs / 1000} s comes later than the idle limits of many proxies and load balancers`
  const advice = 'Set `server.heartbeat: 15s`.'
  return kind === 'none' ? warning('heartbeat', message, advice) : fault('heartbeat', message, advice)
}

function providerFailure({ config, kind }: Surroundings): Finding {
  if (kind === 'none' || config.mesh.providerFailure !== 'passthrough')
    return ok('provider-failure', 'providers’ failures do not count against this pod')
  return fault(
    'provider-failure',
    'a provider’s 5xx is passed on: outlier detection ejects healthy gateways when a provider is down',
    'Leave `mesh.provider_failure` at `auto`, or take 5xx out of the outlier detection of Heddle’s Service.',
  )
}

function retryOwner({ config, kind }: Surroundings): Finding {
  const { owner, veto } = config.mesh.retries
  if (kind === 'none') return skipped('retry-owner', 'no mesh')
  if (owner === 'gateway' && !veto)
    return fault(
      'retry-owner',
      'Heddle retries, and does not keep the proxies in front from retrying its final answers: 3 attempts each become 9',
      'Leave `mesh.retries.veto` on.',
    )
  return ok(
    'retry-owner',
    owner === 'gateway' ? 'Heddle retries, the mesh is kept from it' : 'the mesh retries, Heddle fails over',
  )
}

function plaintext({ name, baseUrl, apiKey, credentials, egress, class: kind }: ProviderConfig): Finding | null {
  const url = new URL(baseUrl)
  const bare = url.protocol === 'http:' && !isLoopback(url.hostname) && kind === 'vendor'
  if (!bare || (apiKey === null && credentials === null) || egress.mode !== 'direct-tls') return null
  return fault(
    'plaintext-key',
    `the key of provider ${name} crosses the network in clear to ${url.hostname}`,
    'Use https, or `egress.mode: mesh-originate` where the sidecar speaks TLS.',
  )
}

function identityTrust({ config, kind }: Surroundings): Finding {
  const { trust, cidrs } = config.mesh.identity
  const wide = cidrs.filter((range) => /\/(?:[0-9]|1[0-5])$/.test(range))
  if (trust === 'cidr' && wide.length > 0)
    return fault(
      'identity-trust',
      `identity headers are believed from ${wide.join(', ')}: whoever is there can call itself anybody`,
      'Name the addresses of the proxies only, or use `trust: loopback-sidecar`.',
    )
  if (trust === 'attested' && kind !== 'istio-ambient')
    return warning(
      'identity-trust',
      'identity headers are believed from whoever can connect, because you state that only a proxy can',
      'In a sidecar mesh use `trust: loopback-sidecar`.',
    )
  if (trust === 'loopback-sidecar' && (kind === 'none' || kind === 'istio-ambient'))
    return fault(
      'identity-trust',
      '`trust: loopback-sidecar` and no sidecar: nobody is ever recognised',
      'Use `trust: attested` behind a waypoint, or none.',
    )
  return ok(
    'identity-trust',
    trust === 'none' ? 'identity headers are taken away from everybody' : `believed: ${trust}`,
  )
}
