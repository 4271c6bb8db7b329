/** An Envoy whose filters ask a gateway's policy service, and a backend behind it. */
import type { Gateway } from '../support/gateway.ts'
import type { RunningEnvoy } from './kit/envoy.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { startGateway } from '../support/gateway.ts'
import { startEnvoy } from './kit/envoy.ts'
import { accessLog, grpcCluster } from './kit/policy.ts'

export const KEY = 'hk-Vq7xZ2mLw9RtY4nB8sKd'
export const OTHER_KEY = 'hk-Pz3uH6cJe5WgF1oT0aXi'
const SERVER = 'log: { level: silent, access: false }'

/** Configuration of a gateway with a policy port: `policies` are added at the top level. */
export const policyYaml = (backendUrl: string, policies: string, policy = '', server = ''): string => `
server: { ${SERVER}, ${server === '' ? '' : `${server}, `}policy: { port: 0${policy === '' ? '' : `, ${policy}`} } }
mesh: { kind: none }
providers:
  alpha: { type: openai_compatible, base_url: "${backendUrl}", api_key: sk-of-the-provider }
models:
  small: alpha/sim-small
  large: alpha/sim-large
${policies}`

export const AUTH = `
auth:
  roles: { reader: { models: [small] } }
  keys:
    - { id: one, key: "${KEY}", tenant: acme, user: ann }
    - { id: two, key: "${OTHER_KEY}", tenant: other, roles: [reader] }
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
  /** Added to `server`. */
  readonly server?: string
  /** URL of a backend with `/v1`; left out: the simulated one. */
  readonly backend?: string
  readonly log?: string
  readonly clusters?: (gateway: Gateway) => readonly object[]
  readonly cluster?: object
}

export async function policyMesh(
  closing: { push(close: () => unknown): unknown },
  options: MeshOptions,
): Promise<PolicyMesh> {
  const sim = options.backend === undefined ? await startSim() : null
  if (sim !== null) closing.push(() => sim.close())
  const backend = options.backend ?? sim!.url
  const gateway = await startGateway(policyYaml(backend, options.policies ?? AUTH, options.policy, options.server))
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
