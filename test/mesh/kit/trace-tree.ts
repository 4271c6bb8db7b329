/** A span as any sink has seen it. */
export interface TreeSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  readonly kind: string
  readonly service: string
  /** Nanoseconds since the epoch. */
  readonly start: bigint
  readonly end: bigint
}

const ms = (n: bigint): string => `${(Number(n) / 1e6).toFixed(2)} ms`

/**
 * One trace as a tree, a line a span: kind, name, service, when it began after the first, how long it took. Spans whose
 * parent nobody has sent stand at the left like a root.
 */
export function traceTree(spans: readonly TreeSpan[], traceId: string): string {
  const own = spans.filter((span) => span.traceId === traceId).sort((a, b) => Number(a.start - b.start))
  const ids = new Set(own.map(({ spanId }) => spanId))
  const first = own[0]?.start ?? 0n
  const lines: string[] = [`trace ${traceId}`]
  const add = (span: TreeSpan, depth: number): void => {
    const left = `${'  '.repeat(depth)}${depth === 0 ? '' : '└ '}${span.kind.toUpperCase()} ${span.name}`
    lines.push(`${left.padEnd(58)} ${span.service.padEnd(16)} +${ms(span.start - first)}, ${ms(span.end - span.start)}`)
    if (depth < 64) for (const child of own) if (child.parentSpanId === span.spanId) add(child, depth + 1)
  }
  for (const span of own) if (!ids.has(span.parentSpanId)) add(span, 1)
  return lines.join('\n')
}

/** From a span up to its root: their ids; stops where a parent was not seen. */
export function ancestors(spans: readonly TreeSpan[], spanId: string): readonly TreeSpan[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  const path: TreeSpan[] = []
  for (let at = byId.get(spanId); at !== undefined && path.length < 64; at = byId.get(at.parentSpanId)) path.push(at)
  return path
}
