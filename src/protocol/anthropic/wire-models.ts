import type { Reasoning } from '../../contracts/canonical.ts'

/**
 * What Claude models take, by pieces of their ids: the API refuses with 400 what a model does not know. Sources:
 * platform.claude.com, "Effort", "Adaptive thinking", "Structured outputs", "Mid-conversation system messages" and the
 * migration guides, compared with getModelCapabilities() of vercel/ai.
 */
export interface ClaudeFacts {
  /** adaptive: it decides how much; budget: it is given tokens; both: either; none: it does not think. */
  readonly thinking: 'adaptive' | 'budget' | 'both' | 'none'
  /** It thinks unless told not to. */
  readonly thinksUnasked: boolean
  /** Takes `output_config.effort`. */
  readonly effort: boolean
  /** Of effort, `xhigh`. */
  readonly xhigh: boolean
  /** Takes temperature, top_p and top_k. */
  readonly sampling: boolean
  /** Takes `output_config.format` and strict tools. */
  readonly schema: boolean
  /** Takes messages of role `system` after a user's. */
  readonly systemInside: boolean
}

const NEWEST: ClaudeFacts = {
  thinking: 'adaptive',
  thinksUnasked: false,
  effort: true,
  xhigh: true,
  sampling: false,
  schema: true,
  systemInside: false,
}
const OLDEST: ClaudeFacts = {
  thinking: 'none',
  thinksUnasked: false,
  effort: false,
  xhigh: false,
  sampling: true,
  schema: false,
  systemInside: false,
}
const BUDGET: ClaudeFacts = { ...OLDEST, thinking: 'budget' }

/** The first row with a piece that is in the id holds. */
const ROWS: readonly (readonly [pieces: readonly string[], facts: ClaudeFacts])[] = [
  [['claude-opus-5'], { ...NEWEST, thinksUnasked: true, systemInside: true }],
  [['claude-opus-4-8'], { ...NEWEST, systemInside: true }],
  [['claude-opus-4-7'], NEWEST],
  [['claude-opus-4-6', 'claude-sonnet-4-6'], { ...NEWEST, thinking: 'both', xhigh: false, sampling: true }],
  [['claude-opus-4-5'], { ...BUDGET, effort: true, schema: true }],
  [['claude-sonnet-4-5', 'claude-haiku-4-5', 'claude-opus-4-1'], { ...BUDGET, schema: true }],
  [['claude-3-7', 'claude-sonnet-4', 'claude-opus-4', 'claude-4'], BUDGET],
  [['claude-3', 'claude-2', 'claude-v2', 'claude-instant'], OLDEST],
  // Sonnet 5, Fable, Mythos, Haiku 5 and what comes after them.
  [['claude-'], { ...NEWEST, thinksUnasked: true }],
]

/** A model that is not Claude, behind an API that speaks like Anthropic's (Kimi, MiniMax, DeepSeek): the classic fields. */
const OTHER: ClaudeFacts = BUDGET

/** model: also with the prefixes of Bedrock and Vertex, and with dots (`claude-opus-4.8`). */
export function claudeFacts(model: string): ClaudeFacts {
  const id = model.toLowerCase().replaceAll('.', '-')
  for (const [pieces, facts] of ROWS) if (pieces.some((piece) => id.includes(piece))) return facts
  return OTHER
}

/** Tokens of thought for models that take a budget; 1024 is the least the API takes. */
const BUDGETS: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 2048,
  medium: 8192,
  high: 16384,
  xhigh: 32768,
  max: 32768,
}
const MIN_BUDGET = 1024
const DEFAULT_BUDGET = 8192

/** Room for the answer beside the thoughts when the client names no maximum. */
const ANSWER_TOKENS = 4096

export interface Thinking {
  /** `thinking` of the request; null = left out. */
  readonly config: { readonly type: string; readonly budget_tokens?: number; readonly display?: string } | null
  /** `output_config.effort`; null = left out. */
  readonly effort: string | null
  readonly on: boolean
  /** `max_tokens`. */
  readonly maxTokens: number
}

/** What a call says of thinking, beside what it asks for. */
interface ThinkingLimits {
  /** The client's greatest number of tokens, null = none. */
  readonly maxTokens: number | null
  /** The model's, 0 = not known. */
  readonly greatest: number
  /** False where the API refuses thinking: a tool is forced, or a turn is open that began without. */
  readonly may: boolean
}

/** What a client asked of thinking, as the model takes it. */
export function thinkingFor(facts: ClaudeFacts, reasoning: Reasoning | null, limits: ThinkingLimits): Thinking {
  const { maxTokens, greatest } = limits
  const whole = greatest > 0 ? greatest : null
  const silent: Thinking = { config: null, effort: null, on: false, maxTokens: maxTokens ?? whole ?? ANSWER_TOKENS }
  if (facts.thinking === 'none') return silent
  if (reasoning?.effort === 'none' || reasoning?.budget === 0 || !limits.may)
    return facts.thinksUnasked ? { ...silent, config: { type: 'disabled' } } : silent
  if (reasoning === null || (reasoning.effort === null && reasoning.budget === null))
    return facts.thinksUnasked ? { ...silent, on: true } : silent
  return thinkingAsked(facts, reasoning, limits) ?? silent
}

/** null = there is no room for it. */
function thinkingAsked(facts: ClaudeFacts, reasoning: Reasoning, limits: ThinkingLimits): Thinking | null {
  const budget = wantedBudget(reasoning)
  if (facts.thinking === 'budget' || (facts.thinking === 'both' && reasoning.budget !== null))
    return budgeted(budget ?? DEFAULT_BUDGET, facts, reasoning.effort, limits)
  const most = limits.greatest > 0 ? limits.greatest : (budget ?? DEFAULT_BUDGET) + ANSWER_TOKENS
  return {
    config: { type: 'adaptive', display: reasoning.visible === false ? 'omitted' : 'summarized' },
    effort: effortOf(reasoning.effort ?? (budget === null ? null : effortOfBudget(budget)), facts),
    on: true,
    maxTokens: limits.maxTokens ?? most,
  }
}

/** null = as the model likes. */
function wantedBudget({ budget, effort }: Reasoning): number | null {
  if (budget !== null) return budget < 0 ? null : budget
  return effort === null ? null : (BUDGETS[effort] ?? DEFAULT_BUDGET)
}

/** The budget is part of max_tokens and must be below it; where that leaves less than the least, the model cannot think. */
function budgeted(
  wanted: number,
  facts: ClaudeFacts,
  effort: string | null,
  { maxTokens, greatest }: ThinkingLimits,
): Thinking | null {
  const most = maxTokens ?? (greatest > 0 ? greatest : wanted + ANSWER_TOKENS)
  const budget = Math.min(Math.max(wanted, MIN_BUDGET), most - 1)
  if (budget < MIN_BUDGET) return null
  const said = facts.effort && effort !== null ? effortOf(effort, facts) : null
  return { config: { type: 'enabled', budget_tokens: budget }, effort: said, on: true, maxTokens: most }
}

function effortOf(effort: string | null, facts: ClaudeFacts): string | null {
  if (effort === null) return null
  if (effort === 'minimal') return 'low'
  if (effort === 'xhigh' && !facts.xhigh) return 'max'
  // Opus 4.5 knows no more than high.
  if (effort === 'max' && facts.thinking === 'budget') return 'high'
  return effort
}

const effortOfBudget = (budget: number): string =>
  budget <= 2048 ? 'low' : budget <= 8192 ? 'medium' : budget <= 32768 ? 'high' : 'max'
