import type { TracingConfig } from '../contracts/config-tracing.ts'
import type { Build } from './build.ts'
import { readOtelEnv } from './otel-env.ts'

/** The file says what is sampled, joined and shown; where it goes the environment says, as with every OpenTelemetry program. */
export const toTracing = (build: Build): TracingConfig => {
  const { tracing } = build.parsed
  const otel = readOtelEnv(build.env, (path) => build.readFile(path))
  const inject = (tracing.inject ?? []).filter((form) => form !== 'w3c')
  return {
    parent: tracing.parent,
    istioProvider: tracing.istio_provider,
    inject: [...new Set([...inject, ...otel.inject])],
    baggage: tracing.baggage ?? [],
    content: tracing.content,
    ratio: tracing.ratio ?? otel.sampler.ratio,
    parentBased: tracing.parent_based ?? otel.sampler.parentBased,
    resource: otel.resource,
    traces: otel.traces,
    batch: otel.batch,
    metrics: otel.metrics,
    notes: otel.notes,
  }
}
