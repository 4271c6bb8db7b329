/** What can be judged by asking: the ports that proxies ask, and the services that Heddle itself asks. */
import { readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import type { HeddleConfig, ProviderConfig } from '../../contracts/config.ts'
import type { CertificateReader, Svid, SvidConfig } from '../../contracts/config-svid.ts'
import type { EppConfig } from '../../contracts/config-cluster.ts'
import type { PolicyServiceConfig } from '../../contracts/config-policy.ts'
import { systemClock, systemRandom } from '../../core/clock.ts'
import { atMost } from '../../core/sleep.ts'
import { fault, ok, skipped, warning, type Finding } from './finding.ts'

type Env = Readonly<Record<string, string | undefined>>

export interface ServiceOptions {
  readonly config: HeddleConfig
  readonly env: Env
  /** Whom a certificate names. */
  readonly read: CertificateReader
  /** Each is given so long, ms. */
  readonly patienceMs?: number
}

const PATIENCE_MS = 3000
const HOUR_MS = 3_600_000

/** Of what is configured only; nothing else is loaded or asked. */
export async function serviceFindings(options: ServiceOptions): Promise<readonly Finding[]> {
  const { config, env, read, patienceMs = PATIENCE_MS } = options
  const { policy } = config.server
  const { svid } = config.mesh
  const found = await Promise.all([
    ...(policy === null ? [] : [policyPort(policy, patienceMs)]),
    ...(svid === null ? [] : [certificate(svid, read, patienceMs)]),
    ...config.providers.flatMap((provider) => [
      ...(provider.discovery === null ? [] : [endpoints(provider, patienceMs)]),
      ...(provider.balancing === null || provider.balancing.epp === null
        ? []
        : [picker(provider.name, provider.balancing.epp, patienceMs)]),
    ]),
  ])
  return policy === null ? found : [portName(policy, env), ...found]
}

// ── the policy service ──────────────────────────────────────────────────────

/** Istio goes by the beginning of a port's name where no appProtocol says it (istio `pkg/config/kube/conversion.go`). */
const HTTP2_NAME = /^(?:GRPC|HTTP2)(?:_|$)/

/** Kubernetes tells pods of Services by their environment (`NAME_SERVICE_PORT_PORTNAME`), without appProtocol. */
function portName({ port }: PolicyServiceConfig, env: Env): Finding {
  const names = Object.entries(env).flatMap(([key, value]) => {
    const name = /_SERVICE_PORT_([A-Z0-9_]+)$/.exec(key)?.[1]
    return name !== undefined && value === String(port) ? [name] : []
  })
  if (names.length === 0)
    return skipped(
      'policy-port-name',
      `no Service with port ${port} is known here: it must have \`appProtocol: kubernetes.io/h2c\``,
    )
  const wrong = names.filter((name) => !HTTP2_NAME.test(name))
  if (wrong.length === 0) return ok('policy-port-name', `port ${port} is called ${names.join(', ').toLowerCase()}`)
  return warning(
    'policy-port-name',
    `port ${port} of the Service is called ${wrong.join(', ').toLowerCase().replaceAll('_', '-')}: proxies speak HTTP/1.1 to it, and every call fails`,
    'Call it `grpc-policy`, or set `appProtocol: kubernetes.io/h2c`.',
  )
}

async function policyPort(policy: PolicyServiceConfig, patienceMs: number): Promise<Finding> {
  const { port, tls } = policy
  if (port === 0) return skipped('policy-port', '`server.policy.port: 0` is another one at each start')
  if (tls) return skipped('policy-port', 'it speaks TLS, and would ask the doctor for a certificate')
  const host = policy.host === '0.0.0.0' || policy.host === '::' ? '127.0.0.1' : policy.host
  const { health } = await import('./health.ts')
  const state = await health({ address: `${host}:${port}`, tls: false, ca: null, service: '', patienceMs })
  if (state === 'SERVING') return ok('policy-port', `port ${port} answers`)
  return fault(
    'policy-port',
    `port ${port} of the policy service: ${state}`,
    'Start Heddle with this configuration, and look at its log; proxies that ask it fail their calls.',
  )
}

// ── the certificate of this workload ────────────────────────────────────────

const noCertificate = (source: string, why: string): Finding =>
  fault(
    'svid',
    `no certificate of this workload from ${source}: ${why}`,
    'Look at who gives it out; without one the process is not ready.',
  )

async function certificate(config: SvidConfig, read: CertificateReader, patienceMs: number): Promise<Finding> {
  if (config.source === 'files') return certificateOfFiles(config, read)
  let told = 'no answer'
  const { SvidKeeper } = await import('../svid/keeper.ts')
  const note = (_level: string, fields: object): void => {
    if ('error' in fields) told = String(fields.error)
  }
  const keeper = new SvidKeeper({ clock: systemClock, read, log: note, taken: () => {}, failed: () => {} })
  try {
    await keeper.use(config)
    await keeper.first(patienceMs)
    return keeper.svid === null ? noCertificate(config.source, told) : lasting(keeper.svid)
  } finally {
    keeper.stop()
  }
}

/** As they are now: the gateway itself would wait a while for the other half of a pair. */
async function certificateOfFiles(
  files: SvidConfig & { readonly source: 'files' },
  read: CertificateReader,
): Promise<Finding> {
  const { checkSvid } = await import('../svid/material.ts')
  try {
    const [cert, key, bundle] = [files.cert, files.key, files.bundle].map((path) => readFileSync(path, 'utf8'))
    return lasting(checkSvid({ cert: cert!, key: key!, bundle: bundle! }, read, systemClock.now()))
  } catch (error) {
    return noCertificate('files', error instanceof Error ? error.message : String(error))
  }
}

/** Agents renew at half of the time, at the latest when a fifth is left. */
function lasting({ id, cert, notAfter }: Svid): Finding {
  const leaf = new X509Certificate(cert)
  const left = notAfter - systemClock.now()
  const whole = notAfter - leaf.validFromDate.getTime()
  const text = `${id === '' ? 'a certificate without a SPIFFE id' : id}, for another ${(left / HOUR_MS).toFixed(1)} h`
  if (left > whole / 5) return ok('svid', text)
  return warning(
    'svid',
    `${text}: less than a fifth of its time`,
    'Look at who renews it: when it has ended, no connection of the mesh is made or taken.',
  )
}

// ── endpoints ───────────────────────────────────────────────────────────────

async function endpoints({ name, discovery }: ProviderConfig, patienceMs: number): Promise<Finding> {
  const { createDiscovery } = await import('../discovery/index.ts')
  const parts = { clock: systemClock, random: systemRandom, version: 'doctor' }
  const source = await createDiscovery(discovery!, parts)
  let error = ''
  const answer = new Promise<number>((resolve) => {
    source.start({
      endpoints: (list) => resolve(list.length),
      error: (reason, detail) => {
        error = `${reason}, ${detail}`
      },
      alive: () => {},
      skipped: () => {},
    })
  })
  try {
    const count = await atMost(patienceMs, answer)
    if (count !== null && count > 0) return ok('discovery', `\`${name}\`: ${count} endpoints by ${discovery!.type}`)
    const why = count === 0 ? 'it knows of nobody' : error === '' ? 'no answer' : error
    return fault(
      'discovery',
      `\`${name}\` by ${discovery!.type}: ${why}`,
      'Its calls fail, or go on with the last endpoints that were known: check the registry, and what may be read there.',
    )
  } finally {
    source.close()
  }
}

const EXT_PROC = 'envoy.service.ext_proc.v3.ExternalProcessor'

async function picker(provider: string, epp: EppConfig, patienceMs: number): Promise<Finding> {
  const { address, tls, ca, serverName } = epp
  const { health } = await import('./health.ts')
  const state = await health({ address, tls, ca, serverName, service: EXT_PROC, patienceMs })
  if (state === 'SERVING' || state === 'UNIMPLEMENTED')
    return ok('epp', `the picker of \`${provider}\` (${address}) answers`)
  const message = `the picker of \`${provider}\` (${address}): ${state}`
  return epp.failureMode === 'open'
    ? warning('epp', message, 'Heddle picks itself until it answers.')
    : fault('epp', message, 'With `failure_mode: close` all its calls fail with 503.')
}
