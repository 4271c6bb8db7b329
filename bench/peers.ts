/** Configurations that make well-known proxies do the same: keep-alive on both sides, no buffering, no log, one thread. */
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Command {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Full path of a program on PATH, or null; npm's own folders are passed over, as what the user has is meant. */
export const findProgram = (name: string): string | null => {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  for (const folder of folders.filter((entry) => entry !== '' && !entry.includes('node_modules'))) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // Not in this folder.
    }
  }
  return null
}

export const nginx = (port: number, backend: number, folder: string): Command | null => {
  const command = findProgram('nginx')
  if (command === null) return null
  mkdirSync(folder, { recursive: true })
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  const config = `
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
pid ${folder}/pid; error_log ${folder}/error.log warn;
events { worker_connections 16000; }
http {
  access_log off; ${temporary}
  client_max_body_size 32m; client_body_buffer_size 256k; keepalive_timeout 300s; keepalive_requests 100000000; tcp_nodelay on;
  upstream backend { server 127.0.0.1:${backend} max_fails=0; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }
  }
}`
  writeFileSync(join(folder, 'nginx.conf'), config)
  return { command, args: ['-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')] }
}

/** haproxy refuses to start when it cannot have two descriptors for each connection and some more. */
const maxConnections = (): number => {
  const limit = Number(/Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 1024)
  return Math.min(16_000, Math.floor(limit / 2) - 100)
}

export const haproxy = (port: number, backend: number, folder: string): Command | null => {
  const command = findProgram('haproxy')
  if (command === null) return null
  mkdirSync(folder, { recursive: true })
  // Without http-no-delay the kernel holds a lone SSE chunk back for up to 200 ms.
  const config = `
global
  maxconn ${maxConnections()}
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 300s
  option http-keep-alive
  option http-no-delay
  option abortonclose
  http-reuse always
frontend clients
  bind 127.0.0.1:${port}
  default_backend models
backend models
  server mock 127.0.0.1:${backend} pool-max-conn -1
`
  writeFileSync(join(folder, 'haproxy.cfg'), config)
  return { command, args: ['-db', '-f', join(folder, 'haproxy.cfg')] }
}

const socketAddress = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

export const envoy = (port: number, backend: number, folder: string): Command | null => {
  const command = process.env['ENVOY_BIN'] ?? findProgram('envoy')
  if (command === null) return null
  mkdirSync(folder, { recursive: true })
  const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.filters.${name}` })
  const manager = {
    ...type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'clients',
    stream_idle_timeout: '600s',
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'mock', timeout: '0s' } }],
        },
      ],
    },
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: type('http.router.v3.Router') }],
  }
  const unlimited = { max_connections: 65_535, max_pending_requests: 65_535, max_requests: 65_535 }
  const config = {
    static_resources: {
      listeners: [
        {
          name: 'clients',
          address: socketAddress(port),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'mock',
          type: 'STATIC',
          connect_timeout: '5s',
          circuit_breakers: { thresholds: [unlimited] },
          load_assignment: {
            cluster_name: 'mock',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(backend) } }] }],
          },
        },
      ],
    },
  }
  writeFileSync(join(folder, 'envoy.json'), JSON.stringify(config))
  const args = ['-c', join(folder, 'envoy.json'), '--concurrency', '1', '--log-level', 'error', '--use-dynamic-base-id']
  return { command, args }
}
