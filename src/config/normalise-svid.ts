import type { SvidConfig } from '../contracts/config-svid.ts'
import type { Build } from './build.ts'
import type { Path } from './problem.ts'
import { svidSocket } from './schema-svid.ts'

/** Of Unix sockets gRPC takes `unix:PATH`, of addresses `IP:PORT`. */
const target = (socket: string): string => socket.replace(/^unix:\/\//, 'unix:').replace(/^tcp:\/\//, '')

const fromSpiffe = (
  given: { readonly socket?: string | undefined; readonly spiffe_id?: string | undefined; hint?: string | undefined },
  { map, problems, env }: Build,
): SvidConfig => {
  const fault = (field: string, message: string): void =>
    void problems.push(map.problem(['mesh', 'svid', field], message, 'key'))
  let { socket } = given
  if (socket === undefined) {
    socket = env['SPIFFE_ENDPOINT_SOCKET'] ?? ''
    if (socket === '') fault('source', '`spiffe` needs `socket`, or environment variable SPIFFE_ENDPOINT_SOCKET')
    else if (!svidSocket.safeParse(socket).success)
      fault('source', 'environment variable SPIFFE_ENDPOINT_SOCKET is neither `unix:///PATH` nor `tcp://IP:PORT`')
  }
  if (given.spiffe_id !== undefined && given.hint !== undefined)
    fault('hint', 'either `spiffe_id` or `hint` says which id is used, not both')
  return { source: 'spiffe', socket: target(socket), spiffeId: given.spiffe_id ?? null, hint: given.hint ?? null }
}

/** What is called: backends of models, and servers of tools. */
const endsOf = ({ providers, mcp }: Build['parsed']) => [
  ...Object.entries(providers ?? {}).flatMap(([name, provider]) =>
    provider === null ? [] : [{ ...provider, path: ['providers', name], urlAt: 'base_url', url: provider.base_url }],
  ),
  ...Object.entries(mcp?.servers ?? {}).map(([name, server]) => ({
    ...server,
    path: ['mcp', 'servers', name],
    urlAt: 'url',
  })),
]

/** What uses the SVID fits together, and there is one to use. */
const checkUses = ({ parsed, map, problems }: Build): void => {
  const missing = parsed.mesh.svid === undefined
  const fault = (path: Path, message: string): void => void problems.push(map.problem(path, message, 'key'))
  const { tls } = parsed.server
  if (tls?.svid === true) {
    const at = (field: string): Path => ['server', 'tls', field]
    if (missing) fault(at('svid'), 'needs `mesh.svid`: where the certificate comes from')
    for (const field of ['cert', 'key', 'client_ca'] as const)
      if (tls[field] !== undefined) fault(at(field), 'with `svid: true` this comes from `mesh.svid`')
    if (tls.client_cert === 'none')
      fault(at('svid'), 'say with `client_cert` whether peers show a certificate: `required` or `optional`')
  }
  for (const { path, urlAt, tls: own, egress, url } of endsOf(parsed)) {
    const at = (field: string): Path => [...path, 'tls', field]
    if (!own.svid) {
      if (own.spiffe_ids !== undefined) fault(at('spiffe_ids'), 'means nothing without `svid: true`')
      continue
    }
    if (missing) fault(at('svid'), 'needs `mesh.svid`: where the certificate comes from')
    if (own.ca !== undefined) fault(at('ca'), 'with `svid: true` the bundle of `mesh.svid` is believed')
    if (!own.verify) fault(at('verify'), 'with `svid: true` the other end is always verified')
    if (url?.startsWith('http:') === true) fault([...path, urlAt], '`tls.svid` needs an https URL')
    if (egress.mode !== undefined && egress.mode !== 'direct-tls')
      fault(at('svid'), `\`egress.mode: ${egress.mode}\` leaves TLS to others: \`direct-tls\` is needed`)
  }
}

export const toSvid = (build: Build): SvidConfig | null => {
  checkUses(build)
  const { svid } = build.parsed.mesh
  if (svid === undefined) return null
  if (svid.source === 'spiffe') return fromSpiffe(svid, build)
  const trustDomains = [...new Set(svid.trust_domains ?? [])]
  if (svid.source === 'istio-sds') return { source: 'istio-sds', socket: target(svid.socket), trustDomains }
  const { cert, key, bundle } = svid
  return { source: 'files', cert, key, bundle, trustDomains }
}
