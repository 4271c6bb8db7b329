import type { Usage } from '../contracts/usage.ts'

/** Nothing used, nothing said. */
export const NO_USAGE: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  cachedInputTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  reasoningTokens: 0,
  audioInputTokens: 0,
  audioOutputTokens: 0,
  imageInputTokens: 0,
  imageOutputTokens: 0,
  searches: 0,
  rerankUnits: 0,
  images: 0,
  audioSeconds: 0,
  characters: 0,
  tier: '',
  reportedUsd: -1,
}

const reported = (a: number, b: number): number => (a < 0 ? b : b < 0 ? a : a + b)

/** The sum of two calls' usage: of a request that was continued elsewhere both parts count. */
export function addUsages(a: Usage | null, b: Usage | null): Usage | null {
  if (a === null || b === null) return a ?? b
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens,
    cacheWrite5mTokens: a.cacheWrite5mTokens + b.cacheWrite5mTokens,
    cacheWrite1hTokens: a.cacheWrite1hTokens + b.cacheWrite1hTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    audioInputTokens: a.audioInputTokens + b.audioInputTokens,
    audioOutputTokens: a.audioOutputTokens + b.audioOutputTokens,
    imageInputTokens: a.imageInputTokens + b.imageInputTokens,
    imageOutputTokens: a.imageOutputTokens + b.imageOutputTokens,
    searches: a.searches + b.searches,
    rerankUnits: a.rerankUnits + b.rerankUnits,
    images: a.images + b.images,
    audioSeconds: a.audioSeconds + b.audioSeconds,
    characters: a.characters + b.characters,
    tier: a.tier === b.tier ? a.tier : '',
    reportedUsd: reported(a.reportedUsd, b.reportedUsd),
  }
}

const number = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0
const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

/** Reads a usage object of chat, completions, embeddings or responses. Null when it holds no counts. */
export function readUsage(value: unknown): Usage | null {
  const u = record(value)
  const inputTokens = number(u['prompt_tokens'] ?? u['input_tokens'])
  const outputTokens = number(u['completion_tokens'] ?? u['output_tokens'])
  if (inputTokens === 0 && outputTokens === 0) return null
  return {
    ...NO_USAGE,
    inputTokens,
    outputTokens,
    cachedInputTokens: number(record(u['prompt_tokens_details'] ?? u['input_tokens_details'])['cached_tokens']),
    reasoningTokens: number(record(u['completion_tokens_details'] ?? u['output_tokens_details'])['reasoning_tokens']),
  }
}
