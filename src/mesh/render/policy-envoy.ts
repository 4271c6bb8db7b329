/** Envoy's filters that ask the policy service, as typed configuration: what control planes wrap, and Envoy itself checks. */
import type { PolicyServiceConfig } from '../../contracts/config-policy.ts'

/** Of Heddle's dynamic metadata (ext_proc), and where Envoy keeps what the other filters were told. */
const METADATA = 'heddle'
const AUTHZ_METADATA = 'envoy.filters.http.ext_authz'

/** The domain whose descriptors Heddle counts. */
const DOMAIN = 'heddle'

const TYPE = 'type.googleapis.com/envoy'

/**
 * decide: external processing does it all. settle: external authorization decides and takes from limits, the rate limit
 * service learns what was used, and external processing only counts. authz: that alone. limits: the rate limit service
 * alone, which counts requests.
 */
export type PolicyMode = 'decide' | 'settle' | 'authz' | 'limits'

/** One of them: each decides about the same limits, and two would count a call twice. */
export function policyMode({ services, authz }: PolicyServiceConfig): PolicyMode {
  const served = new Set(services)
  if (served.has('authz') && served.has('ratelimit') && authz.limits === 'settle') return 'settle'
  if (served.has('ext_proc') && !(served.has('authz') && authz.limits === 'settle')) return 'decide'
  return served.has('authz') ? 'authz' : 'limits'
}

interface HttpFilter {
  readonly name: string
  readonly typed_config: Readonly<Record<string, unknown>>
}

const service = (cluster: string, timeout?: string): object => ({
  envoy_grpc: { cluster_name: cluster },
  ...(timeout === undefined ? {} : { timeout }),
})

/** counts: the request passes by, of the answer the tokens are counted. */
export const extProcFilter = (cluster: string, counts: boolean): HttpFilter => ({
  name: 'envoy.filters.http.ext_proc',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.http.ext_proc.v3.ExternalProcessor`,
    grpc_service: service(cluster),
    // Counting may fail; a decision must not.
    failure_mode_allow: counts,
    ...(counts ? {} : { status_on_error: { code: 503 } }),
    message_timeout: '30s',
    processing_mode: {
      // Trailers too: Envoy wants them with full duplex. BUFFERED would end at 1 MiB.
      ...(counts
        ? { request_header_mode: 'SKIP', request_body_mode: 'NONE', request_trailer_mode: 'SKIP' }
        : { request_header_mode: 'SEND', request_body_mode: 'FULL_DUPLEX_STREAMED', request_trailer_mode: 'SEND' }),
      response_header_mode: 'SEND',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      response_trailer_mode: 'SEND',
    },
    // Or Envoy keeps the host of the call, which is not the provider's, and the headers that pick an endpoint.
    ...(counts ? {} : { mutation_rules: { allow_all_routing: { value: true }, allow_envoy: { value: true } } }),
    request_attributes: ['source.address', 'connection.uri_san_peer_certificate', 'xds.route_name'],
    metadata_options: {
      forwarding_namespaces: { untyped: ['envoy.lb', 'envoy.lb.subset_hint'] },
      // Without it the rate limit service and logs would never see what a call used.
      receiving_namespaces: { untyped: [METADATA, 'envoy.lb'] },
    },
  },
})

/** For routes that lead to no model. */
export const withoutExtProc: object = {
  'envoy.filters.http.ext_proc': {
    '@type': `${TYPE}.extensions.filters.http.ext_proc.v3.ExtProcPerRoute`,
    disabled: true,
  },
}

export const rateLimitFilter = (cluster: string): HttpFilter => ({
  name: 'envoy.filters.http.ratelimit',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.http.ratelimit.v3.RateLimit`,
    domain: DOMAIN,
    timeout: '1s',
    failure_mode_deny: true,
    status_on_error: { code: 503 },
    enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
    rate_limit_service: { grpc_service: service(cluster, '1s'), transport_api_version: 'V3' },
  },
})

const phase = (value: string): object => ({
  generic_key: { descriptor_key: 'heddle-phase', descriptor_value: value },
})
const metadata = (key: string, namespace: string, name: string): object => ({
  metadata: {
    descriptor_key: key,
    metadata_key: { key: namespace, path: [{ key: name }] },
    source: 'DYNAMIC',
    skip_if_absent: true,
  },
})
/** Who calls by its certificate: what a header says, callers could say of themselves. */
const PRINCIPAL = {
  extension: {
    name: 'envoy.rate_limit_descriptors.expr',
    typed_config: {
      '@type': `${TYPE}.extensions.rate_limit_descriptors.expr.v3.Descriptor`,
      descriptor_key: 'principal',
      skip_if_error: true,
      text: 'connection.uri_san_peer_certificate',
    },
  },
}

/**
 * Stands in `typed_per_filter_config`: in `RouteAction.rate_limits` Envoy drops `hits_addend` without a word, and a call
 * would count as one token. settle: external authorization has taken from limits, and left a ticket.
 */
export const rateLimitRoute = (settle: boolean): object => {
  const ticket = metadata('heddle-ticket', AUTHZ_METADATA, 'ticket')
  // Without `check` nobody waits for the end of the call, which nobody tells of.
  const check = { actions: settle ? [phase('check'), ticket] : [PRINCIPAL], hits_addend: { number: 0 } }
  const done = {
    actions: [phase('done'), ticket, metadata('heddle-usage', METADATA, 'usage')],
    hits_addend: { format: `%DYNAMIC_METADATA(${METADATA}:total_tokens)%` },
    apply_on_stream_done: true,
  }
  return {
    'envoy.filters.http.ratelimit': {
      '@type': `${TYPE}.extensions.filters.http.ratelimit.v3.RateLimitPerRoute`,
      rate_limits: settle ? [check, done] : [check],
    },
  }
}

export const withoutRateLimit: object = {
  'envoy.filters.http.ratelimit': { '@type': `${TYPE}.config.route.v3.FilterConfig`, disabled: true },
}
