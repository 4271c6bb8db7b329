// Every fault is put there on purpose, and must be found by its name; where nothing is wrong, nothing may be found.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Finding } from '../../src/mesh/doctor/finding.ts'
import { execute } from '../../src/cli/main.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import type { EnvoyOptions } from './kit/envoy.ts'
import type { Proxy } from './kit/proxy.ts'
import { create } from '@bufbuild/protobuf'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { sendUnaryData } from '@grpc/grpc-js'
import { Health, HealthCheckResponseSchema } from '../../src/protocol/grpc/gen/health_pb.ts'
import type { HealthCheckResponse } from '../../src/protocol/grpc/gen/health_pb.ts'
import { grpcService } from '../../src/protocol/grpc/service.ts'
import { hasOpenssl } from './identity-certs.ts'
import { startMint } from './svid-kit.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

const listening = async (status: number): Promise<number> => {
  const server = createServer((_req, res) => res.writeHead(status).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(resolve)))
  return (server.address() as AddressInfo).port
}

const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

interface Report {
  readonly code: number
  readonly mesh: string
  readonly findings: readonly Finding[]
  readonly faults: readonly string[]
}

interface Pod {
  /** What the health ports of the proxies answer; 0 = nothing listens there. */
  readonly istio?: number
  readonly linkerd?: number
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
}

const doctor = async (yaml: string, { istio = 200, linkerd = 0, env = {}, args = [] }: Pod = {}): Promise<Report> => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-doctor-'))
  closers.push(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'heddle.yaml')
  writeFileSync(file, yaml)
  let out = ''
  const port = async (status: number): Promise<string> =>
    String(status === 0 ? await freePort() : await listening(status))
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (out += text),
    env: {
      HEDDLE_TERMINATION_GRACE_SECONDS: '400',
      HEDDLE_MESH_ISTIO_STATUS_PORT: await port(istio),
      HEDDLE_MESH_LINKERD_ADMIN_PORT: await port(linkerd),
      HEDDLE_MESH_ISTIO_ADMIN_PORT: String(await freePort()),
      ...env,
    },
    cwd: folder,
    exists: () => false,
    read: () => '',
  }
  const code = await execute(['mesh', 'doctor', '--json', '-c', file, ...args], io, {} as never)
  const { mesh, findings } = JSON.parse(out) as Pick<Report, 'mesh' | 'findings'>
  return { code, mesh, findings, faults: findings.filter((f) => f.state === 'fault').map((f) => f.id) }
}

/** Whoever calls is nobody of the house: an edge gives such requests ids of its own. */
const OUTSIDE = { cidr_ranges: [{ address_prefix: '10.255.0.0', prefix_len: 16 }] }

const GOOD = 'providers: { openai: { api_key: sk-x } }\nmodels: { m: openai/gpt-4o }\n'
const ISTIO = `${GOOD}mesh: { kind: istio }\n`

describe('AC-CF-3: heddle mesh doctor, by configuration', () => {
  test('names the mesh, and finds nothing where nothing is wrong', async () => {
    expect(await doctor(GOOD)).toMatchObject({ code: 0, mesh: 'istio', faults: [] })
    expect(await doctor(GOOD, { istio: 0, linkerd: 200 })).toMatchObject({ code: 0, mesh: 'linkerd', faults: [] })
    expect(await doctor(GOOD, { istio: 0 })).toMatchObject({ code: 0, mesh: 'none', faults: [] })
  })

  test.each([
    ['no proxy', ISTIO, { istio: 0 }, ['proxy-ready']],
    ['a proxy that is not ready', ISTIO, { istio: 503 }, ['proxy-ready']],
    ['another mesh', ISTIO, { istio: 0, linkerd: 200 }, ['kind-mismatch']],
    ['keep-alive', `${ISTIO}server: { keep_alive: 75s }`, {}, ['keep-alive']],
    ['drain', `${ISTIO}server: { drain: { max: 10m } }`, {}, ['drain']],
    ['a pod killed early', ISTIO, { env: { HEDDLE_TERMINATION_GRACE_SECONDS: '30' } }, ['drain']],
    ['heartbeat', `${ISTIO}server: { heartbeat: 0 }`, {}, ['heartbeat']],
    ['provider failure', ISTIO.replace('istio }', 'istio, provider_failure: passthrough }'), {}, ['provider-failure']],
    ['retry owner', ISTIO.replace('istio }', 'istio, retries: { veto: false } }'), {}, ['retry-owner']],
    [
      'identity from everywhere',
      `${ISTIO.replace('istio }', 'istio, identity: { trust: cidr, cidrs: [10.0.0.0/8] } }')}auth: { anonymous: true }`,
      {},
      ['identity-trust'],
    ],
    [
      'a key in clear',
      ISTIO.replace(
        'api_key: sk-x }',
        'base_url: http://gpu.example.com/v1, api_key: sk-x, egress: { plaintext_key: true } }',
      ),
      {},
      ['plaintext-key'],
    ],
    ['a reserved port', `${ISTIO}server: { port: 15021 }`, {}, ['reserved-port']],
  ] as const)('%s', async (_name, yaml, pod, faults) => {
    expect(await doctor(yaml, pod)).toMatchObject({ code: 1, faults })
  })
})

describe('AC-CF-3: heddle mesh doctor, what is asked', () => {
  const healthServer = async (status: number): Promise<number> => {
    const server = new Server()
    const check = (_call: unknown, answer: sendUnaryData<HealthCheckResponse>): void =>
      answer(null, create(HealthCheckResponseSchema, { status: status as HealthCheckResponse['status'] }))
    server.addService(grpcService('grpc.health.v1.Health', Health), { check })
    closers.push(() => server.forceShutdown())
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
  }
  const policy = (port: number): string => `${ISTIO}server: { policy: { port: ${port} } }`
  const stateOf = ({ findings }: Report, id: string): string =>
    findings
      .filter((f) => f.id === id)
      .map(({ state }) => state)
      .join()

  test('a policy service that answers, and one that does not', async () => {
    expect(await doctor(policy(await healthServer(1)))).toMatchObject({ code: 0, faults: [] })
    expect((await doctor(policy(await healthServer(2)))).faults).toEqual(['policy-port'])
    expect((await doctor(policy(await freePort()))).faults).toEqual(['policy-port'])
  })

  test('the name of its port, as Kubernetes tells it', async () => {
    const port = await healthServer(1)
    const named = (name: string): Promise<Report> =>
      doctor(policy(port), { env: { [`HEDDLE_SERVICE_PORT_${name}`]: String(port), HEDDLE_SERVICE_HOST: '10.0.0.1' } })
    expect(stateOf(await named('GRPC_POLICY'), 'policy-port-name')).toBe('ok')
    expect(stateOf(await named('POLICY'), 'policy-port-name')).toBe('warning')
    expect(stateOf(await doctor(policy(port)), 'policy-port-name')).toBe('skipped')
  })

  test.skipIf(!hasOpenssl)('the certificate of the workload: there, ending, not its key’s, nobody there', async () => {
    const mint = startMint()
    closers.push(() => mint.close())
    const mesh = mint.authority('mesh')
    const id = 'spiffe://cluster.local/ns/llm/sa/heddle'
    const put = (name: string, text: string): string => {
      writeFileSync(join(mint.folder, name), text)
      return join(mint.folder, name)
    }
    const files = (cert: string, key: string): string =>
      GOOD +
      `mesh: { kind: istio, svid: { source: files, cert: ${put('c', cert)}, key: ${put('k', key)}, bundle: ${put('b', mesh.pem)} } }`
    const good = mesh.issue([id])
    const report = await doctor(files(good.cert, good.key))
    expect(report.faults).toEqual([])
    expect(report.findings.find((f) => f.id === 'svid')?.message).toContain(`${id}, for another 48.0 h`)
    const mixed = await doctor(files(good.cert, mesh.issue([id]).key))
    expect(mixed.findings.find((f) => f.id === 'svid')).toMatchObject({
      state: 'fault',
      message: expect.stringContaining('the private key is not the certificate’s') as unknown,
    })
    const sds = `${GOOD}mesh: { kind: istio, svid: { source: istio-sds, socket: "unix:${mint.folder}/none" } }`
    expect((await doctor(sds)).faults).toEqual(['svid'])
  })

  test('endpoints that nobody tells, and a picker that does not answer', async () => {
    const provider = (discovery: string, more = ''): string => `mesh: { kind: istio }
providers: { pods: { type: openai_compatible, base_url: "http://pods.llm:8000/v1", discovery: ${discovery}, balancing: { owner: gateway ${more} } } }
models: { m: pods/x }
`
    expect((await doctor(provider('{ type: static, endpoints: ["127.0.0.1:1"] }'))).faults).toEqual([])
    const consul = `{ type: consul, url: "http://127.0.0.1:${await freePort()}", service: pods }`
    expect((await doctor(provider(consul))).faults).toEqual(['discovery'])
    const epp = async (mode: string): Promise<Report> => {
      const address = `127.0.0.1:${await freePort()}`
      const more = `, epp: { address: "${address}", failure_mode: ${mode} }`
      return doctor(provider('{ type: static, endpoints: ["127.0.0.1:1"] }', more))
    }
    expect((await epp('close')).faults).toEqual(['epp'])
    expect(stateOf(await epp('open'), 'epp')).toBe('warning')
  })
})

describe.skipIf(envoy === null)('AC-CF-3: heddle mesh doctor, on the way through real proxies', () => {
  const through = async (
    proxy: Partial<Proxy>,
    yaml = ISTIO,
    options: EnvoyOptions = {},
    sinks = false,
  ): Promise<Report> => {
    const port = await freePort()
    const sink = sinks ? await listening(202) : 1
    const running = await startEnvoy([{ name: 'way', to: [port], direction: 'inbound', ...proxy }], {
      otlpPort: sink,
      zipkinPort: sink,
      ...options,
    })
    closers.push(() => running.stop())
    return doctor(yaml, {
      args: ['--via', running.url('way'), '--echo-port', String(port), '--echo-host', '127.0.0.1'],
    })
  }
  const stateOf = ({ findings }: Report, id: string): string => findings.find((f) => f.id === id)!.state

  test('a sidecar as Istio configures it: nothing is wrong, and it says what is taken away', async () => {
    const report = await through({ xfcc: 'APPEND_FORWARD', tracer: { kind: 'otel' } }, ISTIO, {}, true)
    expect(report).toMatchObject({ code: 0, faults: [] })
    const removed = report.findings.find((f) => f.id === 'headers')!.message
    expect(removed).toContain('x-envoy-max-retries')
    expect(removed).toContain('x-forwarded-client-cert')
    expect(report.findings.filter((f) => f.state === 'skipped').map((f) => f.id)).toEqual([])
  })

  test.each([
    ['a proxy that passes XFCC on', { xfcc: 'ALWAYS_FORWARD_ONLY' }, ISTIO, 'xfcc-forgeable'],
    ['a route with a timeout', { timeout: '15s' }, ISTIO, 'route-timeout'],
    ['Zipkin where OTel is configured', { tracer: { kind: 'zipkin' } }, ISTIO, 'tracer'],
    [
      'OTel where Zipkin is configured',
      { tracer: { kind: 'otel' } },
      `${ISTIO}tracing: { istio_provider: zipkin }`,
      'tracer',
    ],
    [
      'another request id',
      { manager: { use_remote_address: true, internal_address_config: OUTSIDE } },
      ISTIO,
      'request-id',
    ],
    [
      'retries that nobody keeps back',
      { retry: { on: '5xx', attempts: 2 } },
      ISTIO.replace('istio }', 'istio, retries: { veto: false } }'),
      'retries-amplified',
    ],
  ] as const)('%s', async (_name, proxy, yaml, id) => {
    const report = await through(proxy, yaml, {}, true)
    expect(report.faults).toContain(id)
  })

  test('Zipkin configured as it is; retries that the veto keeps back are a warning', async () => {
    const report = await through(
      { tracer: { kind: 'zipkin' }, retry: { on: '5xx', attempts: 2 } },
      `${ISTIO}tracing: { istio_provider: zipkin }`,
      {},
      true,
    )
    expect([report.faults, stateOf(report, 'retries-amplified')]).toEqual([[], 'warning'])
  })

  test('a way that leads elsewhere is said to be one', async () => {
    const elsewhere = await listening(200)
    const report = await doctor(ISTIO, { args: ['--via', `http://127.0.0.1:${elsewhere}`] })
    expect(stateOf(report, 'xfcc-forgeable')).toBe('skipped')
  })
})
