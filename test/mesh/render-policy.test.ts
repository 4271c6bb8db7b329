// What `heddle mesh render` writes for the policy service: Envoy itself reads its part of it, field by field.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { execute } from '../../src/cli/main.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { chat, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { envoy } from './kit/binary.ts'
import { extAuthz } from './kit/policy.ts'
import { KEY, policyMesh } from './policy-kit.ts'

const closers = closedAfterEach()

interface Patch {
  readonly applyTo: string
  readonly patch: { readonly operation: string; readonly value: Record<string, unknown> }
}
interface Doc {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: {
    readonly configPatches?: readonly Patch[]
    readonly [key: string]: unknown
  }
  readonly data?: { readonly mesh: string }
}

const POLICY = (more: string): string => `server: { host: 0.0.0.0, insecure: true, policy: { host: 0.0.0.0, ${more} } }
providers: { openai: { api_key: sk-secret } }
models: { m: openai/gpt-4o }
`

const render = async (
  yaml: string,
  target = 'istio',
): Promise<{ readonly docs: readonly Doc[]; readonly notes: string; readonly text: string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-render-'))
  closers.push(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'heddle.yaml'), yaml)
  let text = ''
  const put = (part: string): void => void (text += part)
  const io = { out: put, err: put, env: {}, cwd: folder, exists: () => false, read: () => '' }
  const args = ['--target', target, '--name', 'gw', '--namespace', 'llm', '-c', join(folder, 'heddle.yaml')]
  expect([await execute(['mesh', 'render', ...args], io, {} as never), text.slice(0, 200)]).toEqual([
    0,
    expect.stringContaining('#'),
  ])
  const docs = parseAllDocuments(text).map((doc) => doc.toJS() as Doc)
  return { docs: docs.filter((doc) => doc !== null), notes: text.split('---')[0]!, text }
}

const patchesOf = (docs: readonly Doc[], applyTo: string): readonly Record<string, unknown>[] =>
  docs
    .filter(({ kind }) => kind === 'EnvoyFilter')
    .toSorted((a, b) => Number(a.spec['priority']) - Number(b.spec['priority']))
    .flatMap(({ spec }) => spec.configPatches ?? [])
    .filter((patch) => patch.applyTo === applyTo)
    .map(({ patch }) => patch.value)

const merged = (values: readonly Record<string, unknown>[]): object => ({
  typed_per_filter_config: Object.assign({}, ...values.map((value) => value['typed_per_filter_config'])) as object,
})

const CLUSTER = 'outbound|9002||gw.llm.svc.cluster.local'

/** A listener of an ingress as istiod would build it of these patches. */
const bootstrap = (docs: readonly Doc[]): object => ({
  static_resources: {
    clusters: [{ name: CLUSTER, type: 'STATIC', connect_timeout: '1s', load_assignment: { cluster_name: CLUSTER } }],
    listeners: [
      {
        name: 'ingress',
        address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
        filter_chains: [
          {
            filters: [
              {
                name: 'envoy.filters.network.http_connection_manager',
                typed_config: {
                  '@type':
                    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                  stat_prefix: 'ingress',
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        ...merged(patchesOf(docs, 'VIRTUAL_HOST')),
                        routes: [
                          {
                            name: 'no-llm',
                            match: { prefix: '/other' },
                            direct_response: { status: 200 },
                            ...merged(patchesOf(docs, 'HTTP_ROUTE')),
                          },
                          { match: { prefix: '/' }, direct_response: { status: 200 } },
                        ],
                      },
                    ],
                  },
                  http_filters: [
                    ...patchesOf(docs, 'HTTP_FILTER'),
                    {
                      name: 'envoy.filters.http.router',
                      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                    },
                  ],
                },
              },
            ],
          },
        ],
      },
    ],
  },
})

/** What Envoy says of it; '' = it would start with it. */
const refused = (config: object): string => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-validate-'))
  closers.push(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'envoy.json')
  writeFileSync(file, JSON.stringify(config))
  const { status, stderr } = spawnSync(envoy!, ['--mode', 'validate', '-c', file, '--log-level', 'error'], {
    encoding: 'utf8',
  })
  return status === 0 ? '' : stderr || String(status)
}

const names = (docs: readonly Doc[]): readonly unknown[] => patchesOf(docs, 'HTTP_FILTER').map(({ name }) => name)

describe.skipIf(envoy === null)('AC-PS-4: what is rendered, at work in a real Envoy', () => {
  const LIMITED = `
auth: { keys: [{ id: one, key: "${KEY}", tenant: acme }] }
tenants: { acme: { limits: [{ tokens: 1000, per: 1h }] } }
`
  const BEARER = { authorization: `Bearer ${KEY}` }

  const ingress = async (policy: string, before: readonly object[] = []) => {
    const { docs } = await render(POLICY(policy))
    const here = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll(CLUSTER, 'policy')) as T
    const seen: string[] = []
    const backend = await startBackend((res, _n, req) => {
      seen.push(`${req.headers.host} ${String(req.headers.authorization)}`)
      sendJson(res, 200, CHAT_ANSWER)
    })
    closers.push(() => backend.close())
    const mesh = await policyMesh(closers, {
      filters: () => [...before, ...here(patchesOf(docs, 'HTTP_FILTER'))],
      route: here(merged(patchesOf(docs, 'VIRTUAL_HOST'))),
      policy,
      policies: LIMITED,
      backend: backend.url,
    })
    return { mesh, seen, backend }
  }

  test('external processing decides, and the call has the provider’s host and key', async () => {
    const { mesh, seen, backend } = await ingress('services: [ext_proc]')
    expect((await chat(mesh.url, 'small')).status).toBe(401)
    expect((await chat(mesh.url, 'small', { max_tokens: 10 }, BEARER)).status).toBe(200)
    expect(seen).toEqual([`${new URL(backend.url).host} Bearer sk-of-the-provider`])
  })

  test('the rate limit service settles with what was used, by the ticket of external authorization', async () => {
    const { mesh } = await ingress('authz: { limits: settle }', [extAuthz('policy')])
    const left = async (): Promise<number> => {
      const { status, headers } = await chat(mesh.url, 'small', { max_tokens: 100 }, BEARER)
      expect(status).toBe(200)
      await until(async () => (await mesh.gateway.metric('heddle_policy_leases')) === 0)
      return Number(headers['x-ratelimit-remaining-tokens'])
    }
    const first = await left()
    // The answer tells of five tokens; a hundred and more were held.
    expect(await left()).toBe(first - 5)
  })
})

describe('AC-PS-4', () => {
  const MODES = [
    ['services: [ext_proc]', ['envoy.filters.http.ext_proc']],
    ['authz: { limits: settle }', ['envoy.filters.http.ratelimit', 'envoy.filters.http.ext_proc']],
    ['services: [authz, ratelimit], authz: { limits: settle }', ['envoy.filters.http.ratelimit']],
    ['services: [ratelimit]', ['envoy.filters.http.ratelimit']],
    ['services: [authz]', []],
  ] as const

  test.skipIf(envoy === null).each(MODES)(
    '%s: Envoy takes the filters and what routes say of them',
    async (yaml, filters) => {
      const { docs } = await render(POLICY(yaml))
      expect(names(docs)).toEqual(filters)
      expect(refused(bootstrap(docs))).toBe('')
    },
  )

  test.skipIf(envoy === null)('a field that Envoy does not know would be noticed', async () => {
    const { docs } = await render(POLICY('authz: { limits: settle }'))
    const text = JSON.stringify(bootstrap(docs))
    expect(refused(JSON.parse(text.replace('hits_addend', 'hits_added')) as object)).toContain('hits_added')
    expect(refused(JSON.parse(text.replace('FULL_DUPLEX_STREAMED', 'FULL')) as object)).toContain('FULL')
    expect(refused(JSON.parse(text.replace('"disabled":true', '"disabled":false')) as object)).not.toBe('')
  })

  test('full duplex both ways with trailers; what is counted is visible to the rate limit service', async () => {
    const { docs } = await render(POLICY('services: [ext_proc]'))
    const [filter] = patchesOf(docs, 'HTTP_FILTER')
    expect(filter).toMatchObject({
      typed_config: {
        grpc_service: { envoy_grpc: { cluster_name: CLUSTER } },
        failure_mode_allow: false,
        processing_mode: {
          request_body_mode: 'FULL_DUPLEX_STREAMED',
          request_trailer_mode: 'SEND',
          response_body_mode: 'FULL_DUPLEX_STREAMED',
          response_trailer_mode: 'SEND',
        },
        metadata_options: { receiving_namespaces: { untyped: expect.arrayContaining(['heddle']) as unknown } },
      },
    })
  })

  test('external authorization: both providers, the body whole, and the ticket that the rate limit service settles', async () => {
    const { docs, notes } = await render(POLICY('authz: { limits: settle }'))
    const mesh = docs.find(({ kind }) => kind === 'ConfigMap')?.data?.mesh ?? ''
    expect(parse(mesh)).toMatchObject({
      extensionProviders: [
        {
          name: 'gw-grpc',
          envoyExtAuthzGrpc: {
            service: 'gw.llm.svc.cluster.local',
            port: 9002,
            failOpen: false,
            includeRequestBodyInCheck: { allowPartialMessage: false, packAsBytes: true },
          },
        },
        { name: 'gw-http', envoyExtAuthzHttp: { pathPrefix: '/ext-authz', port: 80 } },
      ],
    })
    expect(
      docs.find(({ kind, metadata }) => kind === 'AuthorizationPolicy' && metadata.namespace !== 'llm')?.spec,
    ).toMatchObject({
      action: 'CUSTOM',
      provider: { name: 'gw-grpc' },
    })
    const [all] = patchesOf(docs, 'VIRTUAL_HOST')
    expect(all).toMatchObject({
      typed_per_filter_config: {
        'envoy.filters.http.ratelimit': {
          rate_limits: [
            { hits_addend: { number: 0 } },
            { hits_addend: { format: '%DYNAMIC_METADATA(heddle:total_tokens)%' }, apply_on_stream_done: true },
          ],
        },
      },
    })
    expect(notes).toContain('SHARED_MESH_CONFIG')
  })

  test.each(['istio', 'linkerd', 'envoy-gateway'])(
    '%s: the port is one of gRPC, open, and no secret',
    async (target) => {
      const { docs, text } = await render(POLICY('port: 9100'), target)
      const service = docs.find(({ kind, metadata }) => kind === 'Service' && metadata.name === 'gw')
      expect(service?.spec['ports']).toContainEqual({
        name: 'grpc-policy',
        appProtocol: 'kubernetes.io/h2c',
        port: 9100,
        targetPort: 9100,
      })
      expect(JSON.stringify(docs.find(({ kind }) => kind === 'NetworkPolicy'))).toContain('{"port":9100}')
      expect(text).not.toContain('sk-secret')
    },
  )

  test('Envoy Gateway: one policy of its own, full duplex, Heddle’s metadata writable', async () => {
    const { docs, notes } = await render(POLICY('services: [ext_proc]'), 'envoy-gateway')
    expect(docs.find(({ kind }) => kind === 'EnvoyExtensionPolicy')?.spec).toMatchObject({
      extProc: [
        {
          backendRefs: [{ name: 'gw', port: 9002 }],
          failOpen: false,
          processingMode: { request: { body: 'FullDuplexStreamed' }, response: { body: 'FullDuplexStreamed' } },
          metadata: { writableNamespaces: ['heddle'] },
        },
      ],
    })
    expect(notes).toContain('heddle.policy')
    const asked = await render(POLICY('services: [authz]'), 'envoy-gateway')
    expect(asked.docs.find(({ kind }) => kind === 'SecurityPolicy')?.spec).toMatchObject({
      extAuth: { grpc: { backendRefs: [{ name: 'gw', port: 9002 }] }, failOpen: false },
    })
  })

  test('nobody but the ingress reaches the port: it believes what it is told', async () => {
    const { docs } = await render(POLICY('services: [ext_proc]'))
    const denied = docs.find(({ kind, metadata }) => kind === 'AuthorizationPolicy' && metadata.namespace === 'llm')
    expect(denied?.spec).toEqual({
      selector: { matchLabels: { 'app.kubernetes.io/name': 'gw' } },
      action: 'DENY',
      rules: [
        {
          from: [{ source: { notNamespaces: ['istio-ingress'] } }],
          to: [{ operation: { ports: ['9002'] } }],
        },
      ],
    })
  })

  test('without a policy service nothing of it is rendered', async () => {
    const { docs } = await render('providers: { openai: { api_key: k } }\nmodels: { m: openai/x }\n')
    expect(docs.map(({ kind }) => kind)).not.toContain('EnvoyFilter')
    expect(JSON.stringify(docs)).not.toContain('grpc-policy')
  })
})
