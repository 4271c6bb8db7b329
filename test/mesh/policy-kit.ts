/** An Envoy whose filters ask a gateway's policy service, and a backend behind it. */
import type { Gateway } from '../support/gateway.ts'
import type { RunningEnvoy } from './kit/envoy.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { startGateway } from '../support/gateway.ts'
import { startEnvoy } from './kit/envoy.ts'
import { accessLog, grpcCluster } from './kit/policy.ts'

export const KEY = 'hk-policy-test-key-0123456789'
const SERVER = 'log: { level: silent, access: false }'

/** Configuration of a gateway with a policy port: `policies` are added at the top level. */
export const policyYaml = (backendUrl: string, policies: string, policy = ''): string => `
server: { ${SERVER}, policy: { port: 0${policy === '' ? '' : `, ${policy}`} } }
mesh: { kind: none }
providers:
  alpha: { type: openai_compatible, base_url: "${backendUrl}", api_key: sk-of-the-provider }
models:
  small: { target: alpha/real-small }
  large: { target: alpha/real-large }
${policies}`

export const AUTH = `
auth:
  keys:
    - { id: one, key: "${KEY}", tenant: acme, user: ann }
    - { id: two, key: "${KEY}-2", tenant: other, access: { models: [small] } }
tenants: { acme: {}, other: {} }
`

export interface PolicyMesh {
  readonly gateway: Gateway
  readonly envoy: RunningEnvoy
  /** Of the proxy's listener. */
  readonly url: string
  readonly sim: Sim | null
}

export interface MeshOptions {
  readonly filters: (gateway: Gateway) => readonly object[]
  readonly route?: object
  readonly policies?: string
  readonly policy?: string
  /** URL of a backend with `/v1`; left out: the simulated one. */
  readonly backend?: string
  readonly log?: string
  readonly clusters?: (gateway: Gateway) => readonly object[]
  readonly cluster?: object
}

export async function policyMesh(closing: { push(close: () => unknown): unknown }, options: MeshOptions): Promise<PolicyMesh> {
  const sim = options.backend === undefined ? await startSim() : null
  if (sim !== null) closing.push(() => sim.close())
  const backend = options.backend ?? `${sim!.url}/v1`
  const gateway = await startGateway(policyYaml(backend, options.policies ?? AUTH, options.policy))
  closing.push(() => gateway.stop())
  const envoy = await startEnvoy(
    [
      {
        name: 'ingress',
        to: [Number(new URL(backend).port)],
        direction: 'inbound',
        filters: options.filters(gateway),
        ...(options.route === undefined ? {} : { route: options.route }),
        ...(options.log === undefined ? {} : { manager: accessLog(options.log) }),
        ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
      },
    ],
    { clusters: [grpcCluster('policy', gateway.ports.policy), ...(options.clusters?.(gateway) ?? [])] },
  )
  closing.push(() => envoy.stop())
  return { gateway, envoy, url: envoy.url('ingress'), sim }
}
