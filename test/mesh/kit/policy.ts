/** Filters of an Envoy that asks Heddle's policy service. */
const TYPE = 'type.googleapis.com/envoy'

/** gRPC on loopback, or on a Unix socket. */
export const grpcCluster = (name: string, where: number | string): object => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: name,
    endpoints: [
      {
        lb_endpoints: [
          {
            endpoint: {
              address:
                typeof where === 'string'
                  ? { pipe: { path: where } }
                  : { socket_address: { address: '127.0.0.1', port_value: where } },
            },
          },
        ],
      },
    ],
  },
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
})

const grpcTo = (cluster: string, timeout = '5s'): object => ({ envoy_grpc: { cluster_name: cluster }, timeout })

export const extAuthz = (cluster: string, more: object = {}): object => ({
  name: 'envoy.filters.http.ext_authz',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.http.ext_authz.v3.ExtAuthz`,
    transport_api_version: 'V3',
    grpc_service: grpcTo(cluster),
    failure_mode_allow: false,
    include_peer_certificate: false,
    with_request_body: { max_request_bytes: 8 * 1024 * 1024, allow_partial_message: true, pack_as_bytes: true },
    ...more,
  },
})

export const httpAuthz = (cluster: string, port: number): object => ({
  name: 'envoy.filters.http.ext_authz',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.http.ext_authz.v3.ExtAuthz`,
    transport_api_version: 'V3',
    http_service: {
      server_uri: { uri: `http://127.0.0.1:${port}`, cluster, timeout: '5s' },
      path_prefix: '/ext-authz',
      authorization_request: { allowed_headers: { patterns: [{ safe_regex: { regex: '.*' } }] } },
      authorization_response: {
        allowed_upstream_headers: { patterns: [{ prefix: 'x-heddle-' }] },
        allowed_client_headers: { patterns: [{ safe_regex: { regex: '.*' } }] },
        allowed_client_headers_on_success: { patterns: [{ prefix: 'x-ratelimit-' }] },
      },
    },
    with_request_body: { max_request_bytes: 8 * 1024 * 1024, allow_partial_message: true },
  },
})

export const FULL_DUPLEX = {
  request_header_mode: 'SEND',
  request_body_mode: 'FULL_DUPLEX_STREAMED',
  request_trailer_mode: 'SEND',
  response_header_mode: 'SEND',
  response_body_mode: 'FULL_DUPLEX_STREAMED',
  response_trailer_mode: 'SEND',
} as const

/** Looks at answers alone. */
export const ANSWERS_ONLY = {
  request_header_mode: 'SKIP',
  request_body_mode: 'NONE',
  request_trailer_mode: 'SKIP',
  response_header_mode: 'SEND',
  response_body_mode: 'FULL_DUPLEX_STREAMED',
  response_trailer_mode: 'SEND',
} as const

export const extProc = (cluster: string, mode: object = FULL_DUPLEX, more: object = {}): object => ({
  name: 'envoy.filters.http.ext_proc',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.http.ext_proc.v3.ExternalProcessor`,
    grpc_service: { envoy_grpc: { cluster_name: cluster } },
    failure_mode_allow: false,
    message_timeout: '30s',
    processing_mode: mode,
    request_attributes: ['source.address', 'connection.uri_san_peer_certificate'],
    mutation_rules: { allow_all_routing: { value: true }, allow_envoy: { value: true } },
    response_attributes: ['upstream.address'],
    metadata_options: {
      receiving_namespaces: { untyped: ['heddle', 'envoy.lb'] },
      forwarding_namespaces: { untyped: ['envoy.lb', 'envoy.lb.subset_hint'] },
    },
    ...more,
  },
})

export const rateLimit = (cluster: string): object => ({
  name: 'envoy.filters.http.ratelimit',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.http.ratelimit.v3.RateLimit`,
    domain: 'heddle',
    failure_mode_deny: true,
    timeout: '5s',
    enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
    rate_limit_service: { grpc_service: grpcTo(cluster), transport_api_version: 'V3' },
  },
})

const metadataAction = (key: string, namespace: string, field: string, missing?: string): object => ({
  metadata: {
    ...(missing === undefined ? {} : { default_value: missing }),
    descriptor_key: key,
    metadata_key: { key: namespace, path: [{ key: field }] },
    source: 'DYNAMIC',
  },
})

const phase = (value: string): object => ({ generic_key: { descriptor_key: 'heddle-phase', descriptor_value: value } })

/**
 * Limits of a route (`typed_per_filter_config`: on a route's own action the addend of hits is dropped without a word). The
 * ticket is that of `from`: the filter that took something of the limits.
 */
export const perRoute = (from: 'ext_authz' | 'ratelimit', check: readonly object[]): object => {
  const ticket = metadataAction('heddle-ticket', `envoy.filters.http.${from}`, 'ticket')
  return {
    'envoy.filters.http.ratelimit': {
      '@type': `${TYPE}.extensions.filters.http.ratelimit.v3.RateLimitPerRoute`,
      rate_limits: [
        { actions: [phase('check'), ...check, ...(from === 'ext_authz' ? [ticket] : [])] },
        {
          actions: [phase('done'), ticket, metadataAction('heddle-usage', 'heddle', 'usage', '-')],
          apply_on_stream_done: true,
          hits_addend: { format: '%DYNAMIC_METADATA(heddle:total_tokens)%' },
        },
      ],
    },
  }
}

export const generic = (key: string, value: string): object => ({
  generic_key: { descriptor_key: key, descriptor_value: value },
})

/** One line of the access log a request, with the details that filters give. */
export const accessLog = (path: string): object => ({
  access_log: [
    {
      name: 'envoy.access_loggers.file',
      typed_config: {
        '@type': `${TYPE}.extensions.access_loggers.file.v3.FileAccessLog`,
        path,
        log_format: {
          json_format: {
            code: '%RESPONSE_CODE%',
            details: '%RESPONSE_CODE_DETAILS%',
            tokens: '%DYNAMIC_METADATA(heddle:total_tokens)%',
            target: '%DYNAMIC_METADATA(heddle:target)%',
            path: '%REQ(:path)%',
          },
        },
      },
    },
  ],
})
