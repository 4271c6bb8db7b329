/** Envoy's configuration of one hop, with the settings that Istio's sidecars have where nothing else is said. */

export interface Tracer {
  readonly kind: 'otel' | 'zipkin' | 'zipkin-w3c'
  /** Per cent of traces that the proxy itself would begin. Istio: 1. */
  readonly sampling?: number
}

export interface RetryPolicy {
  readonly on: string
  readonly attempts: number
  readonly codes?: readonly number[]
}

/** PEM texts. With `ca` the client's certificate is asked for and verified. */
export interface ServerTls {
  readonly cert: string
  readonly key: string
  readonly ca?: string
}

export interface ClientTls {
  readonly sni: string
  readonly ca: string
  readonly cert?: string
  readonly key?: string
}

export interface Proxy {
  readonly name: string
  /** Ports on loopback that it forwards to. */
  readonly to: readonly number[]
  /** inbound: stands in front of its own workload (SERVER span, XFCC). outbound: takes its workload's calls. */
  readonly direction: 'inbound' | 'outbound'
  readonly tracer?: Tracer
  readonly retry?: RetryPolicy
  /** Route timeout, such as `15s`. Istio: off. */
  readonly timeout?: string
  /** Istio's inbound: APPEND_FORWARD. */
  readonly xfcc?: 'SANITIZE' | 'FORWARD_ONLY' | 'APPEND_FORWARD' | 'SANITIZE_SET' | 'ALWAYS_FORWARD_ONLY'
  readonly tls?: ServerTls
  readonly upstreamTls?: ClientTls
  readonly upstreamHttp2?: boolean
  /** 5xx in a row that eject an endpoint. */
  readonly outlier?: number
  /** Of the circuit breaker. */
  readonly maxRequests?: number
  /** Active health checks of that path, each so often, such as `0.2s`. */
  readonly healthCheck?: { readonly path: string; readonly interval: string }
  /** A fixed answer in place of forwarding. */
  readonly answer?: { readonly status: number; readonly body: string }
  /** Added to the connection manager, the route's action and the cluster as they are. */
  readonly manager?: object
  readonly action?: object
  readonly cluster?: object
  /** Added to the route itself. */
  readonly route?: object
  /** Before the router. */
  readonly filters?: readonly object[]
}

const TYPE = 'type.googleapis.com/envoy'
const inline = (text: string): object => ({ inline_string: text })

const tracerOf = ({ kind }: Tracer, service: string): object =>
  kind === 'otel'
    ? {
        name: 'envoy.tracers.opentelemetry',
        typed_config: {
          '@type': `${TYPE}.config.trace.v3.OpenTelemetryConfig`,
          service_name: service,
          http_service: { http_uri: { uri: 'http://otlp/v1/traces', cluster: 'otlp', timeout: '1s' } },
        },
      }
    : {
        name: 'envoy.tracers.zipkin',
        typed_config: {
          '@type': `${TYPE}.config.trace.v3.ZipkinConfig`,
          collector_cluster: 'zipkin',
          collector_endpoint: '/api/v2/spans',
          collector_endpoint_version: 'HTTP_JSON',
          // As Istio sets it.
          trace_id_128bit: true,
          shared_span_context: false,
          trace_context_option: kind === 'zipkin' ? 'USE_B3' : 'USE_B3_WITH_W3C_PROPAGATION',
        },
      }

const tracingOf = (tracer: Tracer, service: string): object => ({
  client_sampling: { value: 100 },
  random_sampling: { value: tracer.sampling ?? 100 },
  overall_sampling: { value: 100 },
  provider: tracerOf(tracer, service),
})

const downstreamTls = ({ cert, key, ca }: ServerTls): object => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': `${TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
    require_client_certificate: ca !== undefined,
    common_tls_context: {
      tls_certificates: [{ certificate_chain: inline(cert), private_key: inline(key) }],
      ...(ca === undefined ? {} : { validation_context: { trusted_ca: inline(ca) } }),
    },
  },
})

const upstreamTls = ({ sni, ca, cert, key }: ClientTls): object => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': `${TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
    sni,
    common_tls_context: {
      validation_context: { trusted_ca: inline(ca) },
      ...(cert === undefined || key === undefined
        ? {}
        : { tls_certificates: [{ certificate_chain: inline(cert), private_key: inline(key) }] }),
    },
  },
})

const retryOf = ({ on, attempts, codes }: RetryPolicy): object => ({
  retry_on: on,
  num_retries: attempts,
  retry_back_off: { base_interval: '0.01s', max_interval: '0.05s' },
  ...(codes === undefined ? {} : { retriable_status_codes: codes }),
})

const routeOf = (proxy: Proxy): object =>
  proxy.answer === undefined
    ? {
        match: { prefix: '/' },
        route: {
          cluster: proxy.name,
          timeout: proxy.timeout ?? '0s',
          ...(proxy.retry === undefined ? {} : { retry_policy: retryOf(proxy.retry) }),
          ...proxy.action,
        },
        ...(proxy.tracer === undefined ? {} : { decorator: { operation: `${proxy.name}/*` } }),
        ...proxy.route,
      }
    : { match: { prefix: '/' }, direct_response: { status: proxy.answer.status, body: inline(proxy.answer.body) } }

export const listener = (proxy: Proxy, service: string): object => ({
  name: proxy.name,
  address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
  traffic_direction: proxy.direction === 'inbound' ? 'INBOUND' : 'OUTBOUND',
  filter_chains: [
    {
      ...(proxy.tls === undefined ? {} : { transport_socket: downstreamTls(proxy.tls) }),
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: proxy.name,
            codec_type: 'AUTO',
            // Istio's sidecars: the peer's address is not used, nothing counts as internal, no idle limit on streams.
            use_remote_address: false,
            internal_address_config: {},
            stream_idle_timeout: '0s',
            server_name: 'istio-envoy',
            ...(proxy.xfcc === undefined
              ? {}
              : {
                  forward_client_cert_details: proxy.xfcc,
                  set_current_client_cert_details: { subject: true, dns: true, uri: true },
                }),
            ...(proxy.tracer === undefined ? {} : { tracing: tracingOf(proxy.tracer, service) }),
            route_config: {
              virtual_hosts: [
                {
                  name: proxy.name,
                  domains: ['*'],
                  // Istio: on for what workloads send.
                  include_request_attempt_count: proxy.direction === 'outbound',
                  routes: [routeOf(proxy)],
                },
              ],
            },
            http_filters: [
              ...(proxy.filters ?? []),
              {
                name: 'envoy.filters.http.router',
                typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` },
              },
            ],
            ...proxy.manager,
          },
        },
      ],
    },
  ],
})

const endpoint = (port: number): object => ({
  endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
})

const options = (http2: boolean): object => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: http2 ? { http2_protocol_options: {} } : { http_protocol_options: {} },
    },
  },
})

export const cluster = (proxy: Proxy): object => ({
  name: proxy.name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: { cluster_name: proxy.name, endpoints: [{ lb_endpoints: proxy.to.map(endpoint) }] },
  ...options(proxy.upstreamHttp2 === true),
  ...(proxy.upstreamTls === undefined ? {} : { transport_socket: upstreamTls(proxy.upstreamTls) }),
  ...(proxy.outlier === undefined
    ? {}
    : {
        outlier_detection: {
          consecutive_5xx: proxy.outlier,
          interval: '0.2s',
          base_ejection_time: '30s',
          max_ejection_percent: 100,
        },
        // Or all that is ejected would be used all the same.
        common_lb_config: { healthy_panic_threshold: { value: 0 } },
      }),
  ...(proxy.maxRequests === undefined
    ? {}
    : { circuit_breakers: { thresholds: [{ max_requests: proxy.maxRequests }] } }),
  ...(proxy.healthCheck === undefined
    ? {}
    : {
        health_checks: [
          {
            timeout: '1s',
            interval: proxy.healthCheck.interval,
            unhealthy_threshold: 1,
            healthy_threshold: 1,
            http_health_check: { path: proxy.healthCheck.path },
          },
        ],
      }),
  ...proxy.cluster,
})

export const sinkCluster = (name: string, port: number): object => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [endpoint(port)] }] },
})
