import type { TracingConfig } from '../contracts/config-tracing.ts'
import type { Build } from './build.ts'

export const toTracing = ({ parsed: { tracing } }: Build): TracingConfig => ({
  parent: tracing.parent,
  istioProvider: tracing.istio_provider,
  inject: (tracing.inject ?? []).filter((form) => form !== 'w3c'),
  baggage: tracing.baggage ?? [],
  content: tracing.content,
  ratio: tracing.ratio ?? 1,
  parentBased: tracing.parent_based ?? true,
  resource: {},
  traces: null,
  metrics: null,
})
