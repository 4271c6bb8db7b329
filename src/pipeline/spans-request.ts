import type { AttributeValue, Attributes } from '../contracts/trace.ts'
import type { Exchange } from './exchange.ts'
import { A } from '../telemetry/semconv.ts'
import { inputContent } from './spans-content.ts'

/** Larger bodies are not parsed for their parameters: that would cost more than the whole request. */
const MAX_PARSED = 64 * 1024
const MAX_LIST = 16
const MAX_NAME = 256

/** Parameter of the request's body -> attribute. */
const NUMBERS: readonly (readonly [string, string])[] = [
  ['temperature', A.temperature],
  ['top_p', A.topP],
  ['top_k', A.topK],
  ['seed', A.seed],
  ['frequency_penalty', A.frequencyPenalty],
  ['presence_penalty', A.presencePenalty],
  ['dimensions', A.dimensions],
]

function stopsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value.slice(0, MAX_NAME)]
  return Array.isArray(value)
    ? value
        .filter((item) => typeof item === 'string')
        .slice(0, MAX_LIST)
        .map((item) => item.slice(0, MAX_NAME))
    : []
}

function parametersOf(body: Readonly<Record<string, unknown>>): Record<string, AttributeValue> {
  const found: Record<string, AttributeValue> = {}
  for (const [name, attribute] of NUMBERS) {
    const value = body[name]
    if (typeof value === 'number' && Number.isFinite(value)) found[attribute] = value
  }
  const stops = stopsOf(body['stop'])
  if (stops.length > 0) found[A.stop] = stops
  if (typeof body['encoding_format'] === 'string') found[A.encodingFormats] = [body['encoding_format'].slice(0, 64)]
  const tier = body['service_tier']
  if (typeof tier === 'string' && tier !== 'auto') found[A.openaiRequestTier] = tier.slice(0, 64)
  return found
}

/**
 * Keeps what the spans will say of the request. To be called while its body is there, when it has been prepared, and only
 * for requests that are sampled.
 */
export function noteRequest(x: Exchange): void {
  const { trace, fields } = x
  if (trace === null || fields === null) return
  const found: Record<string, AttributeValue> = {}
  if (x.stream) found[A.requestStream] = true
  if (fields.maxTokens > 0) found[A.maxTokens] = fields.maxTokens
  if (fields.choices > 1) found[A.choices] = fields.choices
  let content: Attributes = {}
  if (fields.body.length <= MAX_PARSED || trace.content !== 'off') {
    try {
      Object.assign(found, parametersOf(fields.json))
      if (trace.content !== 'off') content = inputContent(x.operation, fields.json, trace.content)
    } catch {
      // The scanner has let it pass, so it is JSON; whatever else, spans must not fail a request.
    }
  }
  trace.request = { ...found, ...content }
}
