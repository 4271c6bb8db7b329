import { z } from 'zod'
import { flag, name, optional, section, share, withDefault } from './fields.ts'

export const tracingSchema = section(
  {
    parent: withDefault(
      z.enum(['auto', 'w3c', 'b3']),
      'auto',
      'Which context is the parent when a request carries several. `auto`: the one that the proxies of the mesh write.',
    ),
    istio_provider: withDefault(
      z.enum(['otel', 'zipkin']),
      'otel',
      'Tracer of Istio’s proxies. With `zipkin` they go by B3 and leave a stale `traceparent` behind.',
    ),
    inject: optional(
      z.array(z.enum(['w3c', 'b3', 'b3multi'])).max(3),
      'Forms sent to the mesh besides W3C and what came in.',
    ),
    baggage: optional(z.array(name).max(64), 'Keys of W3C baggage that go on, to the mesh only.'),
    content: withDefault(
      z.enum(['off', 'redacted', 'full']),
      'off',
      'Prompts and answers on spans: none, with what looks like personal data or a secret taken out, or all.',
    ),
    ratio: optional(
      share,
      'Share of the traces begun here that are sampled. Left out: OTEL_TRACES_SAMPLER_ARG, or all.',
    ),
    parent_based: optional(flag, 'Whether a parent’s decision is final. Left out: OTEL_TRACES_SAMPLER, or true.'),
  },
  'Traces. Exporters are set by the `OTEL_*` environment variables; without one no span is made.',
)
