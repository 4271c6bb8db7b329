import { expect, test } from 'vitest'
import { loadConfigText } from '../../config/index.ts'
import { PRESETS } from '../../providers/presets.ts'
import { RENDER_TARGETS } from './index.ts'
import type { Rendered, RenderTarget } from './parts.ts'

const PLACE = { name: 'gw', namespace: 'llm', serviceAccount: 'gw' }

const render = (target: RenderTarget, mesh = 'istio', namespace = 'llm'): Rendered => {
  const yaml = `
mesh: { kind: ${mesh} }
server: { host: 0.0.0.0, insecure: true, policy: { host: 0.0.0.0, pickers: [
  { port: 9003, provider: pool }, { port: 9004, provider: pods } ] } }
providers:
  pods:
    type: openai_compatible
    base_url: http://vllm.models:8000/v1
    discovery: { type: endpoint_slice, service: models/vllm-pods, port: http }
    balancing: { owner: gateway }
  pool:
    type: openai_compatible
    base_url: http://llama.llm:8000/v1
    discovery: { type: inference_pool, pool: "${namespace}/llama" }
    balancing: { owner: gateway }
models: { a: pods/m, b: pool/m }
`
  return RENDER_TARGETS[target](loadConfigText(yaml, { presets: PRESETS, env: {} }).config, PLACE)
}

test('Istio: pods that Heddle picks keep mTLS, and their Service must be headless', () => {
  const { manifests, notes } = render('istio')
  const rules = manifests.filter(({ kind, metadata }) => kind === 'DestinationRule' && metadata.name !== 'gw')
  expect(rules).toMatchObject([
    { spec: { host: 'vllm-pods.models.svc.cluster.local', trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } } } },
    { spec: { host: 'llama.llm.svc.cluster.local' } },
  ])
  expect(notes.join('\n')).toContain('`pods` (vllm-pods.models.svc.cluster.local): its Service must be headless')
})

test('ambient and Linkerd need no rule', () => {
  const ambient = render('istio', 'istio-ambient')
  expect(ambient.manifests.filter(({ kind }) => kind === 'DestinationRule')).toHaveLength(1)
  expect(ambient.notes.join('\n')).toContain('istio.io/waypoint-for')
  const linkerd = render('linkerd', 'linkerd')
  expect(linkerd.manifests.filter(({ kind }) => kind === 'DestinationRule')).toEqual([])
  expect(linkerd.notes.join('\n')).toContain('knows each meshed pod by its address')
})

test.each(['istio', 'envoy-gateway', 'linkerd'] as const)(
  '%s: an InferencePool asks Heddle on the port of its picker, and nothing else of it is touched',
  (target) => {
    const { manifests, notes } = render(target)
    expect(manifests.filter(({ kind }) => kind === 'InferencePool')).toEqual([
      {
        apiVersion: 'inference.networking.k8s.io/v1',
        kind: 'InferencePool',
        metadata: { name: 'llama', namespace: 'llm' },
        spec: { endpointPickerRef: { name: 'gw', port: { number: 9003 }, failureMode: 'FailOpen' } },
      },
    ])
    const ports = manifests.find(({ kind }) => kind === 'Service')?.['spec'] as { ports: { name: string }[] }
    expect(ports.ports.map(({ name }) => name)).toEqual(['http-llm', 'grpc-policy', 'grpc-pool', 'grpc-pods'])
    expect(notes.join('\n')).toContain('ENABLE_GATEWAY_API_INFERENCE_EXTENSION')
    expect(notes.join('\n')).toContain('picker of `pods` (port 9004)')
    expect(render(target, 'istio', 'other').notes.join('\n')).toContain('is in the namespace `other`')
  },
)
