import type { JsonObject } from '../../contracts/canonical.ts'
import type { Usage } from '../../contracts/usage.ts'

/** What was used, as each dialect tells its clients. The inverse of src/protocol/usage-shapes.ts: read again it is the same. */

const cacheWrites = (usage: Usage): number => usage.cacheWrite5mTokens + usage.cacheWrite1hTokens

/** Set only when there is something to say: most clients look at the presence of a field. */
const some = (name: string, count: number): JsonObject => (count > 0 ? { [name]: count } : {})

/**
 * openai-openapi `CompletionUsage`. `cache_write_tokens` is OpenRouter's name, `cache_creation` in it Anthropic's: OpenAI
 * has neither split.
 */
export function chatUsage(usage: Usage): JsonObject {
  return {
    prompt_tokens: usage.inputTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
    prompt_tokens_details: {
      cached_tokens: usage.cachedInputTokens,
      audio_tokens: usage.audioInputTokens,
      ...some('image_tokens', usage.imageInputTokens),
      ...writeDetails(usage),
    },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoningTokens,
      audio_tokens: usage.audioOutputTokens,
      ...some('image_tokens', usage.imageOutputTokens),
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

function writeDetails(usage: Usage): JsonObject {
  if (cacheWrites(usage) === 0) return {}
  return {
    cache_write_tokens: cacheWrites(usage),
    ...(usage.cacheWrite1hTokens > 0
      ? {
          cache_creation: {
            ephemeral_5m_input_tokens: usage.cacheWrite5mTokens,
            ephemeral_1h_input_tokens: usage.cacheWrite1hTokens,
          },
        }
      : {}),
  }
}

/** openai-openapi `ResponseUsage`. */
export function responsesUsage(usage: Usage): JsonObject {
  return {
    input_tokens: usage.inputTokens,
    input_tokens_details: {
      cached_tokens: usage.cachedInputTokens,
      cache_write_tokens: 0,
      ...writeDetails(usage),
    },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.inputTokens + usage.outputTokens,
  }
}

/** anthropic-sdk `Usage`: `input_tokens` is what was neither read from the cache nor written to it. */
export function anthropicUsage(usage: Usage): JsonObject {
  const { cachedInputTokens, cacheWrite5mTokens, cacheWrite1hTokens } = usage
  return {
    input_tokens: Math.max(0, usage.inputTokens - cachedInputTokens - cacheWrites(usage)),
    cache_creation_input_tokens: cacheWrites(usage),
    cache_read_input_tokens: cachedInputTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: cacheWrite5mTokens,
      ephemeral_1h_input_tokens: cacheWrite1hTokens,
    },
    output_tokens: usage.outputTokens,
    ...(usage.reasoningTokens > 0 ? { output_tokens_details: { thinking_tokens: usage.reasoningTokens } } : {}),
    ...(usage.searches > 0 ? { server_tool_use: { web_search_requests: usage.searches, web_fetch_requests: 0 } } : {}),
  }
}

/** @aws-sdk/client-bedrock-runtime `TokenUsage`: `inputTokens` is what was neither read from the cache nor written to it. */
export function bedrockUsage(usage: Usage): JsonObject {
  const { inputTokens, outputTokens, cachedInputTokens, cacheWrite5mTokens, cacheWrite1hTokens } = usage
  const written = cacheWrites(usage)
  const details: JsonObject[] = []
  if (cacheWrite5mTokens > 0) details.push({ ttl: '5m', inputTokens: cacheWrite5mTokens })
  if (cacheWrite1hTokens > 0) details.push({ ttl: '1h', inputTokens: cacheWrite1hTokens })
  return {
    inputTokens: Math.max(0, inputTokens - cachedInputTokens - written),
    outputTokens,
    totalTokens: inputTokens + outputTokens,
    cacheReadInputTokens: cachedInputTokens,
    cacheWriteInputTokens: written,
    ...(details.length > 0 ? { cacheDetails: details } : {}),
  }
}

/** google-genai `GenerateContentResponseUsageMetadata`: thoughts are not among the candidates' tokens. */
export function geminiUsage(usage: Usage): JsonObject {
  return {
    promptTokenCount: usage.inputTokens,
    candidatesTokenCount: Math.max(0, usage.outputTokens - usage.reasoningTokens),
    totalTokenCount: usage.inputTokens + usage.outputTokens,
    ...some('cachedContentTokenCount', usage.cachedInputTokens),
    ...some('thoughtsTokenCount', usage.reasoningTokens),
    ...modalities('promptTokensDetails', usage.audioInputTokens, usage.imageInputTokens),
    ...modalities('candidatesTokensDetails', usage.audioOutputTokens, usage.imageOutputTokens),
  }
}

function modalities(name: string, audio: number, image: number): JsonObject {
  const list: JsonObject[] = []
  if (audio > 0) list.push({ modality: 'AUDIO', tokenCount: audio })
  if (image > 0) list.push({ modality: 'IMAGE', tokenCount: image })
  return list.length > 0 ? { [name]: list } : {}
}

/** ollama docs/api.md: counts only; its durations are the caller's to give. */
export const ollamaUsage = (usage: Usage): JsonObject => ({
  prompt_eval_count: usage.inputTokens,
  eval_count: usage.outputTokens,
})

/** cohere-ai `Usage`: what is billed, and what was used; of others nobody knows a difference. */
export const cohereUsage = (usage: Usage): JsonObject => {
  const tokens = { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens }
  return { billed_units: tokens, tokens, cached_tokens: usage.cachedInputTokens }
}
