import type { ProviderConfig } from '../contracts/config.ts'
import type { MappedDialect } from '../contracts/config-mapping.ts'
import type { Dialect } from '../contracts/dialect.ts'
import { isMapped } from '../protocol/templates/wires.ts'
import { toMapping } from './normalise-mapping.ts'
import { toPipeline } from './normalise-pipeline.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'
import { mappingSchema } from './schema-mapping.ts'

interface Served {
  readonly wire: Dialect | null
  readonly transport: 'http' | 'grpc'
  /** Preset. */
  readonly type: string
}

type Part = Pick<ProviderConfig, 'mapping' | 'pipeline' | 'transport'>

/** Those that speak gRPC to us. */
const GRPC: ReadonlySet<Dialect> = new Set<Dialect>(['tensorflow.predict', 'kserve.infer'])

/** What a provider has beyond others when it is a model server or a pipeline; nothing for all others. path: of its entry. */
export function toServed(
  entry: ProviderEntry,
  { wire, transport, type }: Served,
  path: Path,
  context: ProviderContext,
): Part {
  const report = (below: Path, message: string): void =>
    void context.problems.push(context.map.problem([...path, ...below], message, 'key'))
  if (wire === 'pipeline' || type === 'pipeline') {
    if (wire !== 'pipeline' || type !== 'pipeline') report(['wire'], '`pipeline` is a type of its own')
    return toPipeline(entry, path, context)
  }
  if (entry.steps !== undefined) report(['steps'], 'only `type: pipeline` has steps')
  if (transport === 'grpc') checkGrpc(entry, wire, report)
  const over = transport === 'grpc' ? { transport } : {}
  if (!isMapped(wire)) {
    if (entry.mapping !== undefined) report(['mapping'], `type \`${type}\` speaks of chats itself: it needs none`)
    return over
  }
  const mapping = toMapping(entry.mapping ?? mappingSchema.parse({}), {
    wire: wire satisfies MappedDialect,
    context,
    path: [...path, 'mapping'],
    typed: transport === 'grpc',
    more: [],
  })
  return { mapping, ...over }
}

function checkGrpc(entry: ProviderEntry, wire: Dialect | null, report: (below: Path, message: string) => void): void {
  if (wire === null || !GRPC.has(wire))
    report(['base_url'], 'gRPC is spoken to `tensorflow_serving` and `kserve` only: use http or https')
  if (entry.operations !== undefined) report(['operations'], 'have no meaning for a server that is called by gRPC')
  if (entry.query !== undefined) report(['query'], 'has no meaning for a server that is called by gRPC')
  if (entry.tls.svid)
    report(['tls', 'svid'], 'is not used for gRPC: let the proxy of the mesh speak mutual TLS, with `grpc://`')
  if (entry.egress.mode === 'mesh-originate' || entry.egress.mode === 'connect-proxy')
    report(
      ['egress', 'mode'],
      `\`${entry.egress.mode}\` is for HTTP: gRPC goes \`direct-tls\` or by the \`egress-gateway\``,
    )
}
