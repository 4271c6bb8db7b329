import { isAbsolute } from 'node:path'
import { isIP } from 'node:net'
import { z } from 'zod'
import { duration, flag, integer, longText, name, optional, withDefault } from './fields.ts'

const secret = longText.regex(/^[\x21-\x7e]+$/, {
  error: 'holds a blank, a line break or another character that no token has',
})
const url = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
    error: 'must be an absolute http or https URL',
  })
  .refine((text) => !URL.canParse(text) || `${new URL(text).username}${new URL(text).password}` === '', {
    error: 'must not hold credentials; use the fields for them',
  })
  .refine((text) => !/[?#]/.test(text), { error: 'must not hold a query or fragment' })
const ca = optional(longText, 'Certificates to trust instead of the system’s, as PEM text: `${file:/path/ca.pem}`.')
const port = integer(1, 65_535)

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const objectName = z
  .string()
  .refine(
    (text) =>
      text.split('/').length <= 2 &&
      text.split('/').every((part) => part.split('.').every((label) => LABEL.test(label))),
    {
      error: 'must be `namespace/name`, or a name in the namespace of the pod',
    },
  )
const dnsName = z.string().regex(/^[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?$/i, { error: 'is not a DNS name' })
const server = z.string().refine((text) => isIP(text) !== 0 || /^(?:\[[^\]]+\]|[\d.]+):\d{1,5}$/.test(text), {
  error: 'must be `ip` or `ip:port`',
})
const plain = name.regex(/^[^\x00-\x1f\x7f]+$/, { error: 'holds a control character' })

const common = {
  on_empty: withDefault(
    z.enum(['keep', 'drop']),
    'keep',
    'When it says that nobody is there: `keep` the last ones that were, or `drop` them, which fails all calls.',
  ),
}

const ttl = {
  servers: withDefault(z.array(server).max(8), [], 'Name servers to ask, `ip:port`. Left out: the system’s.'),
  min_ttl: withDefault(duration, '1s', 'Records are held at least so long, whatever their TTL.'),
  max_ttl: withDefault(duration, '30s', 'And at most so long.'),
}

const kube = {
  api: optional(
    z.strictObject({
      url: url.describe('Of the API server.'),
      token: optional(secret, 'Bearer token. Write `${env:NAME}` or `${file:PATH}`.'),
      ca,
    }),
    'The API server, when it is neither that of the pod’s own cluster nor one of a kubeconfig.',
  ),
  kubeconfig: optional(
    z.string().refine(isAbsolute, { error: 'must be an absolute path' }),
    'A kubeconfig file; its current context is used. Left out: as a pod in the cluster.',
  ),
}

const staticEndpoint = z.union(
  [
    name,
    z.strictObject({
      address: name.describe('`host:port`, IPv6 in brackets.'),
      weight: withDefault(integer(1, 1000), 1, 'Share of calls relative to the others.'),
      zone: withDefault(z.string().max(253), '', 'Where it stands.'),
    }),
  ],
  { error: 'must be `host:port`, or a map with `address`' },
)

const sources = [
  z.strictObject({
    type: z.literal('static').describe('What stands here.'),
    endpoints: z.array(staticEndpoint).min(1).max(256).describe('`host:port` each, or maps with a weight and a zone.'),
    ...common,
  }),
  z.strictObject({
    type: z.literal('dns').describe('A and AAAA records, such as those of a headless Service.'),
    name: dnsName.describe('Fully qualified: search domains and /etc/hosts are not looked at.'),
    port: port.describe('Of each address.'),
    ...ttl,
    ...common,
  }),
  z.strictObject({
    type: z.literal('dns_srv').describe('SRV records, with priorities, weights and ports.'),
    name: dnsName.describe('Such as `_http._tcp.vllm.llm.svc.cluster.local`.'),
    ...ttl,
    ...common,
  }),
  z.strictObject({
    type: z.literal('endpoint_slice').describe('A Kubernetes Service, by its EndpointSlices.'),
    service: objectName.describe('`namespace/name` of the Service.'),
    port: optional(
      z.union([port, name], { error: 'must be a port’s name or number' }),
      'Name or number of the port of its endpoints. Left out: the first.',
    ),
    ...kube,
    ...common,
  }),
  z.strictObject({
    type: z.literal('inference_pool').describe('Pods of an InferencePool (Gateway API Inference Extension, v1).'),
    pool: objectName.describe('`namespace/name` of the pool.'),
    ...kube,
    ...common,
  }),
  z.strictObject({
    type: z.literal('consul').describe('A service in Consul’s catalog.'),
    url: withDefault(url, 'http://127.0.0.1:8500', 'Of Consul’s HTTP API.'),
    service: plain.describe('Its name.'),
    tag: optional(plain, 'Only instances with this tag.'),
    datacenter: optional(plain, 'Left out: that of the agent.'),
    namespace: optional(plain, 'Of Consul Enterprise.'),
    token: optional(secret, 'ACL token. Write `${env:NAME}` or `${file:PATH}`.'),
    ca,
    wait: withDefault(duration, '55s', 'Longest time that one blocking query is held open, 1s to 10m.'),
    passing_only: withDefault(flag, true, 'Leave out instances with a warning. Critical ones never count.'),
    ...common,
  }),
  z.strictObject({
    type: z.literal('etcd').describe('Keys below a prefix in etcd v3, through its JSON gateway.'),
    urls: z.array(url).min(1).max(16).describe('Members of the cluster; another one is asked when one fails.'),
    prefix: plain.describe(
      'Each key that begins with it is an endpoint: `host:port`, or JSON with `address`, `weight`, `zone`, `priority`, `state`.',
    ),
    username: optional(plain, 'When etcd’s authentication is on.'),
    password: optional(longText, 'Write `${env:NAME}` or `${file:PATH}`.'),
    token: optional(secret, 'A token in place of a user and a password.'),
    ca,
    ...common,
  }),
  z.strictObject({
    type: z.literal('xds').describe('A cluster of an xDS control plane (ADS), such as Istio’s.'),
    server: plain.describe('`host:port`, or `unix:/path`.'),
    cluster: plain.describe('Name of the cluster, such as `outbound|8000||vllm.llm.svc.cluster.local`.'),
    tls: withDefault(flag, false, 'TLS towards the control plane.'),
    ca,
    node_id: optional(plain, 'As which it asks. Left out: as Istio’s proxies do, from the pod’s variables.'),
    node_cluster: withDefault(plain, 'heddle', 'Service cluster of the node.'),
    ...common,
  }),
] as const

export const discoverySchema = z.discriminatedUnion('type', sources, {
  error: `must have \`type\`: one of ${sources.map((source) => `\`${[...source.shape.type.values][0]}\``).join(', ')}`,
})

export const discoveryField = optional(
  discoverySchema,
  'Where the addresses behind this provider come from. Left out: the host of `base_url` is called as it stands.',
)
