/**
 * The order of the folders of src, low to high, written a second time on purpose: the lint configuration is tested
 * against it, and what lint cannot see (dynamic imports, new folders) is checked with it.
 */
const ROWS: readonly (readonly string[])[] = [
  ['core'],
  ['contracts', 'protocol'],
  ['config', 'store', 'telemetry', 'mesh'],
  ['auth', 'ratelimit', 'guardrails', 'cache', 'providers', 'upstream', 'usage'],
  ['routing'],
  ['pipeline'],
  ['http', 'admin', 'policy', 'mcp'],
  ['server'],
  ['cli'],
]

export const FOLDERS: readonly string[] = [...ROWS.flat(), 'testing', 'sim']

/** Packages that only the named folders may import. */
export const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  undici: ['upstream'],
  fastify: ['http', 'admin'],
  ioredis: ['store'],
  '@opentelemetry/api': ['telemetry'],
  '@opentelemetry/otlp-exporter-base': ['telemetry'],
  '@opentelemetry/otlp-grpc-exporter-base': ['telemetry'],
  '@opentelemetry/otlp-transformer': ['telemetry'],
  '@kubernetes/client-node': ['mesh'],
  zod: FOLDERS.filter((folder) => !['http', 'policy', 'mcp', 'upstream', 'pipeline'].includes(folder)),
  yaml: FOLDERS.filter((folder) => !['http', 'policy', 'mcp', 'upstream', 'pipeline'].includes(folder)),
}

const rowOf = (folder: string): number => ROWS.findIndex((row) => row.includes(folder))

/** Files directly in src put everything together: they import what they like, and only the command line imports them. */
export const ROOT = '(root)'

/** Whether production code in one folder of src may import another. Unknown folders may import nothing. */
export const mayImport = (from: string, to: string): boolean => {
  if (from === to || from === ROOT) return true
  if (to === ROOT) return from === 'cli'
  if (from === 'sim') return ['core', 'contracts', 'protocol'].includes(to)
  if (from === 'testing') return rowOf(to) >= 0 && rowOf(to) <= 2
  if (to === 'testing') return false
  if (from === 'cli') return to === 'sim' || rowOf(to) >= 0
  if (from === 'protocol' && to === 'contracts') return true
  return rowOf(from) >= 0 && rowOf(to) >= 0 && rowOf(to) < rowOf(from)
}
