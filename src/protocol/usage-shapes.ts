import type { Usage } from '../contracts/usage.ts'

type Fields = Readonly<Record<string, unknown>>
type Counts = { -readonly [K in keyof Usage]?: Usage[K] }

/** More than any context holds: a number beyond it is a fault of the backend, not a count. */
const MAX_COUNT = 1e10

/** Whole number >= 0; numbers in texts count, everything else is 0. */
export function count(value: unknown): number {
  const n = typeof value === 'string' && value.length < 20 ? Number(value) : value
  return typeof n === 'number' && n > 0 && n <= MAX_COUNT ? Math.ceil(n) : 0
}

/** The first that says more than nothing. */
const first = (u: Fields, ...names: readonly string[]): number => {
  for (const name of names) {
    const n = count(u[name])
    if (n > 0) return n
  }
  return 0
}

const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}

const dollars = (value: unknown): number => {
  const n = typeof value === 'string' && value.length < 30 ? Number(value) : value
  return typeof n === 'number' && n >= 0 && n < 1e6 ? n : -1
}

/** xAI counts in ten-billionths of a dollar. */
const TICKS_PER_USD = 1e10

/** What the provider says it bills, US dollars; -1 = nothing. */
function reportedCost(u: Fields): number {
  const ticks = u['cost_in_usd_ticks']
  if (typeof ticks === 'number' && ticks >= 0) return dollars(ticks / TICKS_PER_USD)
  const cost = u['cost']
  if (typeof cost === 'object' && cost !== null) return dollars(fields(cost)['total_cost'])
  const own = dollars(cost)
  if (own < 0) return -1
  // OpenRouter, with the customer's own key: `cost` is its fee alone, the model's provider bills the rest.
  const upstream = dollars(fields(u['cost_details'])['upstream_inference_cost'])
  return u['is_byok'] === true && upstream > 0 ? own + upstream : own
}

/** `web_search_calls` and such of the provider's own tools. */
function searchesOf(u: Fields): number {
  const tools = fields(u['server_side_tool_usage_details'])
  return (
    count(fields(u['server_tool_use'])['web_search_requests']) ||
    count(tools['web_search_calls']) + count(tools['x_search_calls']) ||
    first(u, 'num_search_queries', 'num_sources_used')
  )
}

/**
 * Cache writes by lifetime: Anthropic `cache_creation`, OpenRouter and Qwen in the details, LiteLLM beside them. What
 * has no lifetime is the short, usual one.
 */
function cacheWrites(u: Fields, details: Fields): readonly [number, number] {
  const split = fields(u['cache_creation'] ?? details['cache_creation'])
  const long = count(split['ephemeral_1h_input_tokens'])
  const short = count(split['ephemeral_5m_input_tokens'])
  const whole =
    first(u, 'cache_creation_input_tokens', 'cache_write_tokens') ||
    first(details, 'cache_write_tokens', 'cache_creation_input_tokens', 'cache_creation_tokens', 'cached_write_tokens')
  return [Math.max(short, whole - long), long]
}

/** What the whole says of its parts: the other part, and what is counted beside the output. */
interface Repaired {
  readonly input: number
  readonly output: number
}

/**
 * Reasoning inside or beside the output is told apart by the total where there is one: 10120 prompt + 1499 completion
 * + 2809 reasoning = 14428 (xAI), against prompt + completion (OpenAI). Where the total is silent, apart decides.
 */
function repaired(u: Fields, input: number, output: number, reasoning: number, apart: boolean): Repaired {
  const total = count(u['total_tokens'])
  const chat = 'prompt_tokens' in u || 'completion_tokens' in u
  if (input === 0 && total > output) return { input: total - output, output }
  // Mistral leaves the tokens of audio out of the prompt's.
  if (total > input + output && count(u['prompt_audio_seconds']) > 0) return { input: total - output, output }
  if (total > input + output && (output > 0 || chat)) return { input, output: total - input }
  if (!apart || !chat) return { input, output }
  // Perplexity's stands at the top and is in no total; SGLang's, at the same place, is inside the output.
  const besides = count(u['reasoning_tokens'])
  if (besides > 0) return { input, output: output + besides }
  return { input, output: total === 0 || output < reasoning ? output + reasoning : output }
}

/** OpenAI and everything like it, in both namings: `prompt_tokens` and `input_tokens`. */
function openai(u: Fields, apart: boolean): Counts {
  const inDetails = fields(u['prompt_tokens_details'] ?? u['input_tokens_details'] ?? u['input_token_details'])
  const outDetails = fields(u['completion_tokens_details'] ?? u['output_tokens_details'] ?? u['output_token_details'])
  const hits = count(u['prompt_cache_hit_tokens'])
  const reasoning = count(outDetails['reasoning_tokens']) || count(u['reasoning_tokens'])
  const prompt = first(u, 'prompt_tokens', 'input_tokens') || hits + count(u['prompt_cache_miss_tokens'])
  const { input, output } = repaired(u, prompt, first(u, 'completion_tokens', 'output_tokens'), reasoning, apart)
  const cached = first(inDetails, 'cached_tokens', 'cached_read_tokens')
  const [short, long] = cacheWrites(u, inDetails)
  return {
    // Perplexity bills what it cited like a prompt.
    inputTokens: input + count(u['citation_tokens']),
    outputTokens: output,
    cachedInputTokens: cached || hits || first(u, 'cached_tokens', 'num_cached_tokens', 'cache_read_input_tokens'),
    cacheWrite5mTokens: short,
    cacheWrite1hTokens: long,
    reasoningTokens: reasoning,
    audioInputTokens: count(inDetails['audio_tokens']),
    audioOutputTokens: count(outDetails['audio_tokens']),
    imageInputTokens: count(inDetails['image_tokens']),
    imageOutputTokens: count(outDetails['image_tokens']),
  }
}

/** Anthropic Messages: `input_tokens` is what came after the cached prefix, read or written. */
function anthropic(u: Fields): Counts {
  const read = count(u['cache_read_input_tokens'])
  const [short, long] = cacheWrites(u, {})
  const own: Counts = {
    inputTokens: count(u['input_tokens']) + read + short + long,
    outputTokens: count(u['output_tokens']),
    cachedInputTokens: read,
    cacheWrite5mTokens: short,
    cacheWrite1hTokens: long,
  }
  const iterations = Array.isArray(u['iterations']) ? u['iterations'] : []
  // The top-level counts leave summaries made on the way out, although they are billed (docs: compaction).
  for (const part of iterations) {
    if (fields(part)['type'] !== 'compaction') continue
    const more = anthropic({ ...fields(part), iterations: undefined })
    own.inputTokens = (own.inputTokens ?? 0) + (more.inputTokens ?? 0)
    own.outputTokens = (own.outputTokens ?? 0) + (more.outputTokens ?? 0)
    own.cachedInputTokens = (own.cachedInputTokens ?? 0) + (more.cachedInputTokens ?? 0)
    own.cacheWrite5mTokens = (own.cacheWrite5mTokens ?? 0) + (more.cacheWrite5mTokens ?? 0)
    own.cacheWrite1hTokens = (own.cacheWrite1hTokens ?? 0) + (more.cacheWrite1hTokens ?? 0)
  }
  return own
}

function modality(details: unknown, name: string): number {
  if (!Array.isArray(details)) return 0
  let sum = 0
  for (const part of details) if (fields(part)['modality'] === name) sum += count(fields(part)['tokenCount'])
  return sum
}

/** Gemini and Vertex: thoughts are not among the candidates, results of tools not in the prompt. */
function gemini(u: Fields): Counts {
  const thoughts = count(u['thoughtsTokenCount'])
  const candidates = first(u, 'candidatesTokenCount', 'responseTokenCount')
  const answers = u['candidatesTokensDetails'] ?? u['responseTokensDetails']
  const input = count(u['promptTokenCount']) + count(u['toolUsePromptTokenCount'])
  const missing = count(u['totalTokenCount']) - input - candidates - thoughts
  return {
    inputTokens: input,
    outputTokens: candidates + thoughts + (candidates === 0 && missing > 0 ? missing : 0),
    cachedInputTokens: count(u['cachedContentTokenCount']),
    reasoningTokens: thoughts,
    audioInputTokens: modality(u['promptTokensDetails'], 'AUDIO'),
    imageInputTokens: modality(u['promptTokensDetails'], 'IMAGE'),
    audioOutputTokens: modality(answers, 'AUDIO'),
    imageOutputTokens: modality(answers, 'IMAGE'),
  }
}

/** Bedrock Converse: like Anthropic, in camel case (API reference: TokenUsage, CacheDetail). */
function bedrock(u: Fields): Counts {
  const read = first(u, 'cacheReadInputTokens', 'cacheReadInputTokenCount')
  const written = first(u, 'cacheWriteInputTokens', 'cacheWriteInputTokenCount')
  const details = Array.isArray(u['cacheDetails']) ? u['cacheDetails'] : []
  let long = 0
  for (const part of details) if (fields(part)['ttl'] === '1h') long += count(fields(part)['inputTokens'])
  const short = Math.max(0, written - long)
  return {
    inputTokens: count(u['inputTokens']) + read + short + long,
    outputTokens: count(u['outputTokens']),
    cachedInputTokens: read,
    cacheWrite5mTokens: short,
    cacheWrite1hTokens: long,
  }
}

/** Cohere: `billed_units` is what the invoice says; `tokens` also counts its own preamble. */
function cohere(u: Fields): Counts {
  const billed = fields(u['billed_units'])
  const tokens = fields(u['tokens'])
  const source = 'input_tokens' in billed || 'output_tokens' in billed ? billed : tokens
  return {
    inputTokens: count(source['input_tokens']),
    outputTokens: count(source['output_tokens']),
    cachedInputTokens: count(u['cached_tokens']),
    rerankUnits: count(billed['search_units']),
  }
}

const millis = (seconds: unknown): number => {
  const n = typeof seconds === 'string' && seconds.length < 20 ? Number(seconds) : seconds
  return typeof n === 'number' && n > 0 && n < MAX_COUNT ? Math.ceil(n * 1000) / 1000 : 0
}

/** The first test that holds says what the object is; everything else is like OpenAI's. */
const SHAPES: readonly (readonly [is: (u: Fields) => boolean, read: (u: Fields) => Counts])[] = [
  [(u) => 'promptTokenCount' in u || 'totalTokenCount' in u, gemini],
  [
    (u) =>
      'billed_units' in u || // TGI lists tokens under the same name.
      ('tokens' in u && typeof u['tokens'] === 'object' && !Array.isArray(u['tokens'])),
    cohere,
  ],
  [(u) => 'inputTokens' in u || 'outputTokens' in u, bedrock],
  [(u) => ('cache_read_input_tokens' in u || 'cache_creation_input_tokens' in u) && !('prompt_tokens' in u), anthropic],
  // Ollama's own API: docs/api.md.
  [
    (u) => 'prompt_eval_count' in u || 'eval_count' in u,
    (u) => ({ inputTokens: count(u['prompt_eval_count']), outputTokens: count(u['eval_count']) }),
  ],
  // llama.cpp `timings`: `prompt_n` is what had to be computed, `cache_n` what was there.
  [
    (u) => 'predicted_n' in u || 'prompt_n' in u,
    (u) => ({
      inputTokens: count(u['prompt_n']) + count(u['cache_n']),
      outputTokens: count(u['predicted_n']),
      cachedInputTokens: count(u['cache_n']),
    }),
  ],
  // Text Generation Inference `details`.
  [
    (u) => 'generated_tokens' in u,
    (u) => ({
      inputTokens:
        Array.isArray(u['prefill']) && u['prefill'].length > 0 ? u['prefill'].length : count(u['input_length']),
      outputTokens: count(u['generated_tokens']),
    }),
  ],
  [(u) => u['type'] === 'duration' || ('seconds' in u && !('prompt_tokens' in u)), () => ({})],
]

/** Counts of a usage object; parts never exceed the whole they are counted in. */
export function readShape(u: Fields, reasoningApart: boolean): Counts {
  const shape = typeof u['prompt_tokens'] === 'number' ? undefined : SHAPES.find(([is]) => is(u))
  const counts = shape === undefined ? openai(u, reasoningApart) : shape[1](u)
  const input = counts.inputTokens ?? 0
  const output = counts.outputTokens ?? 0
  const within = (part: number | undefined, whole: number): number => Math.min(part ?? 0, whole)
  const cached = within(counts.cachedInputTokens, input)
  const long = within(counts.cacheWrite1hTokens, input - cached)
  return {
    ...counts,
    cachedInputTokens: cached,
    cacheWrite1hTokens: long,
    cacheWrite5mTokens: within(counts.cacheWrite5mTokens, input - cached - long),
    audioInputTokens: within(counts.audioInputTokens, input),
    imageInputTokens: within(counts.imageInputTokens, input),
    reasoningTokens: within(counts.reasoningTokens, output),
    audioOutputTokens: within(counts.audioOutputTokens, output),
    imageOutputTokens: within(counts.imageOutputTokens, output),
    searches: searchesOf(u),
    rerankUnits: counts.rerankUnits ?? count(u['search_units']),
    audioSeconds: millis(u['seconds']) || millis(u['prompt_audio_seconds']),
    characters: count(u['characters']),
    reportedUsd: reportedCost(u),
  }
}

/** It says something at all. */
export const isUsage = (u: Usage): boolean =>
  u.inputTokens > 0 ||
  u.outputTokens > 0 ||
  u.searches > 0 ||
  u.rerankUnits > 0 ||
  u.images > 0 ||
  u.audioSeconds > 0 ||
  u.characters > 0 ||
  u.reportedUsd > 0
