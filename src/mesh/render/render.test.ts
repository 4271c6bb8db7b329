import { describe, expect, test } from 'vitest'
import { loadConfigText } from '../../config/index.ts'
import { PRESETS } from '../../providers/presets.ts'
import { RENDER_TARGETS } from './index.ts'
import type { Manifest, Rendered, RenderTarget } from './parts.ts'

const PLACE = { name: 'gw', namespace: 'llm', serviceAccount: 'gw' }

const render = (target: RenderTarget, yaml: string): Rendered =>
  RENDER_TARGETS[target](loadConfigText(yaml, { presets: PRESETS, env: {} }).config, PLACE)
const ofKind = ({ manifests }: Rendered, kind: string): readonly Manifest[] => manifests.filter((m) => m.kind === kind)
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what a test expects of a part
const specOf = <T>(manifest: Manifest | undefined): T => manifest?.['spec'] as T

const PROVIDERS = `providers:
  openai: { api_key: sk-x }
  other: { type: openai_compatible, base_url: "https://api.openai.com/v1", api_key: sk-y }
  anthropic: { type: openai_compatible, base_url: "https://api.anthropic.com/v1", api_key: k, egress: { mode: mesh-originate } }
  vllm: { type: openai_compatible, base_url: "http://vllm.models:8000/v1" }
  sim: {}
models: { m: openai/gpt-4o }
`
const PEERS = `auth: { peers: { map: [
  { id: "spiffe://cluster.local/ns/a/sa/chat", tenant: a },
  { namespace: b, service_account: web, tenant: a } ] } }
tenants: { a: {} }
`

describe('istio', () => {
  test('one entry a host: TLS as it is, and plain to the sidecar where that speaks TLS', () => {
    const rendered = render('istio', PROVIDERS)
    const entries = ofKind(rendered, 'ServiceEntry').map((m) => specOf<{ hosts: string[]; ports: object[] }>(m))
    expect(entries).toMatchObject([
      { hosts: ['api.anthropic.com'], ports: [{ number: 80, protocol: 'HTTP', targetPort: 443 }] },
      { hosts: ['api.openai.com'], ports: [{ number: 443, protocol: 'TLS' }] },
    ])
    const [, rule] = ofKind(rendered, 'DestinationRule')
    expect(rule).toMatchObject({
      spec: {
        host: 'api.anthropic.com',
        trafficPolicy: {
          portLevelSettings: [
            { tls: { mode: 'SIMPLE', sni: 'api.anthropic.com', subjectAltNames: ['api.anthropic.com'] } },
          ],
        },
      },
    })
  })

  test('no route retries, unless the mesh is to', () => {
    const routes = (yaml: string): readonly Manifest[] => ofKind(render('istio', yaml), 'VirtualService')
    const hosts = routes(PROVIDERS).map((m) => specOf<{ hosts: string[] }>(m).hosts[0])
    expect(hosts).toEqual(['gw.llm.svc.cluster.local', 'api.anthropic.com', 'vllm.models.svc.cluster.local'])
    for (const route of routes(PROVIDERS))
      for (const { retries } of specOf<{ http: { retries: object }[] }>(route).http)
        expect(retries).toEqual({ attempts: 0 })
    const owned = routes(`${PROVIDERS}mesh: { retries: { owner: mesh } }`)
    expect(owned.map((m) => specOf<{ hosts: string[] }>(m).hosts[0])).not.toContain('vllm.models.svc.cluster.local')
  })

  test('who may call without a key is who the mesh lets in; patterns that it cannot say are left to Heddle', () => {
    const [policy] = ofKind(render('istio', PROVIDERS + PEERS), 'AuthorizationPolicy')
    const { rules } = specOf<{ rules: { from?: { source: { principals: string[] } }[] }[] }>(policy)
    expect(rules[0]?.from?.[0]?.source.principals).toEqual(['cluster.local/ns/a/sa/chat', '*/ns/b/sa/web'])
    const odd = render('istio', PROVIDERS + PEERS.replace('sa/chat', 'sa/c*t'))
    expect(ofKind(odd, 'AuthorizationPolicy')).toEqual([])
    expect(odd.notes.join()).toContain('cannot express')
    const keyed = render('istio', PROVIDERS + PEERS.replace('{ peers', '{ anonymous: true, peers'))
    expect(ofKind(keyed, 'AuthorizationPolicy')).toEqual([])
  })

  test('the pod lives as long as its streams, and so does its proxy', () => {
    const { patch } = render('istio', `${PROVIDERS}server: { drain: { max: 100s } }`)
    const { template } = specOf<{ template: { metadata: object; spec: object } }>(patch)
    expect(template.spec).toMatchObject({ terminationGracePeriodSeconds: 115 })
    expect(JSON.stringify(template.metadata)).toContain('terminationDrainDuration: 105s')
  })

  test('the network is open to what is called, and to the proxy', () => {
    const [policy] = ofKind(render('istio', PROVIDERS), 'NetworkPolicy')
    const { egress } = specOf<{ egress: { ports: { port: number }[] }[] }>(policy)
    expect(egress[1]?.ports.map(({ port }) => port)).toEqual([443, 8000, 15012, 15008])
  })
})

describe('linkerd', () => {
  test('all egress is denied but to the providers', () => {
    const rendered = render('linkerd', PROVIDERS.replace(', egress: { mode: mesh-originate }', ''))
    expect(ofKind(rendered, 'EgressNetwork')).toMatchObject([{ spec: { trafficPolicy: 'Deny' } }])
    const names = ofKind(rendered, 'TLSRoute').map((m) => specOf<{ hostnames: string[] }>(m).hostnames[0])
    expect(names).toEqual(['api.anthropic.com', 'api.openai.com'])
  })

  test('TLS that Linkerd does not start is said, not rendered away', () => {
    expect(render('linkerd', PROVIDERS).notes.join()).toContain('direct-tls')
  })

  test('a port whose callers Linkerd cannot name gets no Server: that alone would turn everybody away', () => {
    for (const yaml of ['', PEERS.replace('{ peers', '{ anonymous: true, peers')]) {
      const rendered = render('linkerd', PROVIDERS + yaml)
      expect(ofKind(rendered, 'AuthorizationPolicy')).toEqual([])
      expect(ofKind(rendered, 'Server')).toEqual([])
    }
    const named = render(
      'linkerd',
      PROVIDERS + PEERS.replace('id: "spiffe://cluster.local/ns/a/sa/chat"', 'namespace: a'),
    )
    expect([ofKind(named, 'Server').length, ofKind(named, 'AuthorizationPolicy').length]).toEqual([1, 1])
  })

  test('identities in Linkerd’s own form', () => {
    const yaml = PROVIDERS + PEERS.replace('id: "spiffe://cluster.local/ns/a/sa/chat"', 'namespace: a')
    const [authentication] = ofKind(render('linkerd', yaml), 'MeshTLSAuthentication')
    expect(specOf<{ identities: string[] }>(authentication).identities).toEqual([
      '*.a.serviceaccount.identity.linkerd.cluster.local',
      'web.b.serviceaccount.identity.linkerd.cluster.local',
    ])
  })
})

describe('every target', () => {
  test.each(Object.keys(RENDER_TARGETS) as RenderTarget[])(
    '%s: hosts that begin alike, and ports of one host, have a name each',
    (target) => {
      const host = 'a-resource-with-a-long-name-of-the-company-openai-in-the-region-of'
      const vendor = (name: string, url: string): string =>
        `  ${name}: { type: openai_compatible, base_url: "${url}", api_key: k-${name} }\n`
      const yaml = `providers:\n${vendor('a', `https://${host}-east.openai.azure.com`)}${vendor('b', `https://${host}-west.openai.azure.com`)}${vendor('c', 'https://api.example.com')}${vendor('d', 'https://api.example.com:8443')}`
      const ids = render(target, yaml).manifests.map((m) => `${m.kind} ${m.metadata.name}`)
      expect(ids).toEqual([...new Set(ids)])
    },
  )

  test.each(Object.keys(RENDER_TARGETS) as RenderTarget[])(
    '%s: names are names, nothing stands twice, no secret',
    (target) => {
      const rendered = render(target, PROVIDERS + PEERS)
      const ids = rendered.manifests.map((m) => `${m.kind} ${m.metadata.name}`)
      expect(new Set(ids).size).toBe(ids.length)
      for (const { metadata } of rendered.manifests) {
        expect(metadata.name).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
        expect(metadata.namespace).toBe('llm')
      }
      expect(JSON.stringify(rendered)).not.toMatch(/sk-x|sk-y/)
    },
  )
})
