import type { Feature, Support } from '../../contracts/dialect.ts'

/** What providers that speak the chat API take of it otherwise than OpenAI, by type of provider. */
export interface ChatQuirks {
  /** Knows the role `developer`, refusals and parts in the assistant's messages. */
  readonly official: boolean
  readonly maxField: 'max_tokens' | 'max_completion_tokens'
  /** Takes `stream_options.include_usage`. */
  readonly streamUsage: boolean
  readonly seedField: 'seed' | 'random_seed'
  /** How earlier reasoning goes back: a text, OpenRouter's blocks, or not at all. */
  readonly reasoning: 'reasoning_content' | 'reasoning' | 'details' | null
  /** Takes `cache_control` on parts. */
  readonly cache: boolean
  /** Rows of the table that differ. */
  readonly carries: Partial<Record<Feature, Support>>
}

const COMPATIBLE: ChatQuirks = {
  official: false,
  maxField: 'max_tokens',
  streamUsage: true,
  seedField: 'seed',
  reasoning: null,
  cache: false,
  carries: {},
}

/** openai-openapi CreateChatCompletionRequest: unknown fields are refused with 400. */
const OFFICIAL: ChatQuirks = {
  ...COMPATIBLE,
  official: true,
  maxField: 'max_completion_tokens',
  carries: { tool_custom: 'yes', top_k: 'no', min_p: 'no', repetition_penalty: 'no' },
}

/** What providers that refuse fields they do not know would fail on, though the answer does not depend on it. */
const STRICT: Partial<Record<Feature, Support>> = {
  user: 'no',
  metadata: 'no',
  store: 'no',
  service_tier: 'no',
  prompt_cache_key: 'no',
  safety_identifier: 'no',
  verbosity: 'no',
  prediction: 'no',
  message_name: 'no',
  min_p: 'no',
  repetition_penalty: 'no',
}

const HISTORY: Support = { mapped: 'Texts, as `reasoning_content`.' }
const thinks: ChatQuirks = { ...COMPATIBLE, reasoning: 'reasoning_content', carries: { reasoning_history: HISTORY } }

const QUIRKS: ReadonlyMap<string, ChatQuirks> = new Map([
  ['openai', OFFICIAL],
  ['azure', OFFICIAL],
  // docs.mistral.ai, chat completion: 422 for unknown fields.
  ['mistral', { ...COMPATIBLE, streamUsage: false, seedField: 'random_seed', carries: { ...STRICT, top_k: 'no' } }],
  ['cohere', { ...COMPATIBLE, streamUsage: false, carries: STRICT }],
  ['ai21', { ...COMPATIBLE, streamUsage: false, carries: STRICT }],
  // api-docs.deepseek.com, thinking mode: what was thought before a call must come back with it.
  ['deepseek', thinks],
  ['moonshot', thinks],
  ['zhipu', thinks],
  ['qwen', thinks],
  ['minimax', thinks],
  [
    'vllm',
    {
      ...thinks,
      carries: { ...thinks.carries, reasoning_history: { mapped: 'Texts, as `reasoning`.' } },
      reasoning: 'reasoning',
    },
  ],
  ['sglang', thinks],
  ['llamacpp', thinks],
  // openrouter.ai docs, reasoning tokens: preserving reasoning blocks.
  [
    'openrouter',
    {
      ...COMPATIBLE,
      reasoning: 'details',
      cache: true,
      carries: {
        reasoning_history: 'yes',
        reasoning_budget: 'yes',
        cache_marks: 'yes',
        file_url: 'yes',
      },
    },
  ],
])

/** type: `ProviderConfig.type`; what is not known is like most. */
export const chatQuirks = (type: string): ChatQuirks => QUIRKS.get(type) ?? COMPATIBLE

/** Types that have quirks: each gets a wire with a table of its own. */
export const QUIRKY_TYPES: readonly string[] = [...QUIRKS.keys()]
