import type { Build } from './build.ts'
import { FOUND_MESH, isMeshKind, reservedPort } from './mesh-ports.ts'
import { didYouMean } from './nearest.ts'
import type { Path } from './problem.ts'

/** Readiness can only wait for models that there are. */
function checkRequired({ parsed, map, problems }: Build): void {
  const models = Object.entries(parsed.models ?? {})
  const aliases = models.flatMap(([, model]) =>
    typeof model === 'object' && model !== null && 'aliases' in model ? (model.aliases ?? []) : [],
  )
  const known = new Set([...models.map(([name]) => name), ...aliases])
  parsed.server.readiness.require?.forEach((name, i) => {
    const path: Path = ['server', 'readiness', 'require', i]
    if (!known.has(name))
      problems.push(map.problem(path, `no model is named ${map.show(path, name)}${didYouMean(name, known)}`))
  })
}

/** What of the rest of the configuration cannot be in the mesh that is configured, or was found. */
export function checkMesh(build: Build): void {
  const { parsed, map, problems, env } = build
  checkRequired(build)
  const found = env[FOUND_MESH]
  const kind = parsed.mesh.kind === 'auto' ? (isMeshKind(found) ? found : 'none') : parsed.mesh.kind
  const { server } = parsed
  const ports: readonly (readonly [Path, number])[] = [
    [['server', 'port'], server.port],
    [['server', 'admin_port'], server.admin_port],
    ...(server.tls === undefined ? [] : [[['server', 'tls', 'port'], server.tls.port] as const]),
  ]
  for (const [path, port] of ports) {
    const why = reservedPort(kind, port)
    if (why !== null) problems.push(map.problem(path, why))
  }
  if (kind !== 'linkerd') return
  for (const [name, provider] of Object.entries(parsed.providers ?? {})) {
    if (provider?.egress.mode !== 'mesh-originate') continue
    const path: Path = ['providers', name, 'egress', 'mode']
    problems.push(map.problem(path, 'Linkerd’s proxy speaks no TLS to the outside: use `direct-tls`'))
  }
  for (const [name, server] of Object.entries(parsed.mcp?.servers ?? {})) {
    if (server.egress.mode !== 'mesh-originate') continue
    const path: Path = ['mcp', 'servers', name, 'egress', 'mode']
    problems.push(map.problem(path, 'Linkerd’s proxy speaks no TLS to the outside: use `direct-tls`'))
  }
}
