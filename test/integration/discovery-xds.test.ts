// CDS and EDS from a control plane over real gRPC.
import { create } from '@bufbuild/protobuf'
import { AnySchema, type Any } from '@bufbuild/protobuf/wkt'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  Cluster_DiscoveryType as Kind,
  HealthStatus,
} from '../../src/protocol/grpc/gen/xds_pb.ts'
import { CDS, EDS } from '../../src/mesh/discovery/xds-read.ts'
import { anyOf, ControlPlane } from '../support/control-plane.ts'
import { Heard } from '../support/discovery.ts'
import { until } from '../support/etcd.ts'

const NAME = 'outbound|8000||vllm'
const open: Heard[] = []
let plane: ControlPlane

beforeEach(async () => {
  plane = await ControlPlane.start()
})

afterEach(() => {
  for (const heard of open.splice(0)) heard.close()
  plane.stop()
})

const follow = async (): Promise<Heard> => {
  const heard = await Heard.of({
    type: 'xds',
    server: plane.address,
    tls: false,
    ca: null,
    cluster: NAME,
    nodeId: 'node-1',
    nodeCluster: 'heddle',
    onEmpty: 'keep',
  })
  open.push(heard)
  return heard
}

interface Host {
  readonly ip: string
  readonly health?: HealthStatus
  readonly weight?: number
}

const locality = (hosts: readonly Host[], more: { priority?: number; zone?: string; weight?: number } = {}) => ({
  priority: more.priority ?? 0,
  locality: { zone: more.zone ?? '' },
  ...(more.weight === undefined ? {} : { loadBalancingWeight: more.weight }),
  lbEndpoints: hosts.map(({ ip, health = HealthStatus.HEALTHY, weight }) => ({
    healthStatus: health,
    ...(weight === undefined ? {} : { loadBalancingWeight: weight }),
    endpoint: {
      address: {
        address: {
          case: 'socketAddress' as const,
          value: { address: ip, portSpecifier: { case: 'portValue' as const, value: 8000 } },
        },
      },
    },
  })),
})

const assignment = (service: string, ...endpoints: readonly ReturnType<typeof locality>[]): Any =>
  anyOf(
    EDS,
    ClusterLoadAssignmentSchema,
    create(ClusterLoadAssignmentSchema, { clusterName: service, endpoints: [...endpoints] }),
  )

const cluster = (service = '', name = NAME): Any =>
  anyOf(CDS, ClusterSchema, create(ClusterSchema, { name, type: Kind.EDS, edsClusterConfig: { serviceName: service } }))

test('endpoints with their health, zone, priority and weight; all of it acknowledged', async () => {
  plane.set(CDS, 'c1', [cluster('svc'), cluster('other', 'another')])
  plane.set(EDS, 'e1', [
    assignment(
      'svc',
      locality(
        [
          { ip: '10.0.0.1', weight: 3 },
          { ip: '10.0.0.2', weight: 1 },
        ],
        { zone: 'a', weight: 80 },
      ),
      locality([{ ip: '10.0.0.3' }, { ip: '10.0.0.4', health: HealthStatus.UNHEALTHY }], { zone: 'b', weight: 20 }),
      locality([{ ip: '10.0.0.5', health: HealthStatus.DRAINING }], { priority: 1 }),
      locality([{ ip: '10.0.0.6', health: HealthStatus.TIMEOUT }]),
    ),
  ])
  const heard = await follow()
  await heard.expect('10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000', '10.0.0.5:8000')
  const facts = heard.last.map(({ host, weight, zone, priority, state }) => [host, weight, zone, priority, state])
  expect(facts).toEqual([
    ['10.0.0.1', 60, 'a', 0, 'ready'],
    ['10.0.0.2', 20, 'a', 0, 'ready'],
    ['10.0.0.3', 20, 'b', 0, 'ready'],
    ['10.0.0.5', 1, '', 1, 'draining'],
  ])
  await until('both are acknowledged', () => plane.requests.some((r) => r.typeUrl === EDS && r.versionInfo === 'e1'))
  const said = plane.requests.map((r) => [r.typeUrl, r.versionInfo, r.responseNonce !== '', r.resourceNames.join()])
  expect(said).toEqual([
    [CDS, '', false, NAME],
    [CDS, 'c1', true, NAME],
    [EDS, '', false, 'svc'],
    [EDS, 'e1', true, 'svc'],
  ])
  expect(plane.requests[0]?.node).toMatchObject({ id: 'node-1', cluster: 'heddle' })
  plane.set(EDS, 'e2', [assignment('svc', locality([{ ip: '10.0.0.9' }]))])
  await heard.expect('10.0.0.9:8000')
  plane.set(EDS, 'e3', [assignment('svc')])
  await heard.expect()
  expect(heard.errors).toEqual([])
})

test('what makes no sense is refused, with the version that is kept', async () => {
  plane.set(CDS, 'c1', [cluster('svc')])
  plane.set(EDS, 'e1', [assignment('svc', locality([{ ip: '10.0.0.1' }]))])
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  plane.set(EDS, 'e2', [create(AnySchema, { typeUrl: EDS, value: new Uint8Array([0xff, 0xff, 1]) })])
  await heard.expectError('invalid')
  await until('it is refused', () => plane.requests.at(-1)?.errorDetail !== undefined)
  expect(plane.requests.at(-1)).toMatchObject({ typeUrl: EDS, versionInfo: 'e1' })
  expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  plane.set(EDS, 'e3', [assignment('svc', locality([{ ip: '10.0.0.2' }]))])
  await heard.expect('10.0.0.2:8000')
})

test('a cluster that brings its endpoints, then one of another service, then none', async () => {
  const own = create(ClusterSchema, {
    name: NAME,
    type: Kind.STATIC,
    loadAssignment: { clusterName: NAME, endpoints: [locality([{ ip: '10.0.0.1' }])] },
  })
  plane.set(CDS, 'c1', [anyOf(CDS, ClusterSchema, own)])
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  plane.set(EDS, 'e1', [
    assignment('one', locality([{ ip: '10.0.1.1' }])),
    assignment('two', locality([{ ip: '10.0.2.2' }])),
  ])
  plane.set(CDS, 'c2', [cluster('one')])
  await heard.expect('10.0.1.1:8000')
  plane.set(CDS, 'c3', [cluster('two')])
  await heard.expect('10.0.2.2:8000')
  plane.set(CDS, 'c4', [cluster('x', 'another')])
  await heard.expect()
  plane.set(CDS, 'c5', [cluster('one')])
  await heard.expect('10.0.1.1:8000')
  expect(heard.errors).toEqual([])
})

test('after a restart it goes on with the versions that it has', async () => {
  plane.set(CDS, 'c1', [cluster('svc')])
  plane.set(EDS, 'e1', [assignment('svc', locality([{ ip: '10.0.0.1' }]))])
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  plane.stop()
  await heard.expectError('unreachable')
  expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  plane.requests.length = 0
  await plane.start()
  await until('it is back', () => plane.requests.length >= 2)
  expect(plane.requests.slice(0, 2).map((r) => [r.typeUrl, r.versionInfo, r.responseNonce])).toEqual([
    [CDS, 'c1', ''],
    [EDS, 'e1', ''],
  ])
  plane.set(EDS, 'e2', [assignment('svc', locality([{ ip: '10.0.0.2' }]))])
  await heard.expect('10.0.0.2:8000')
})
