import type { JsonObject, Reasoning } from '../../contracts/canonical.ts'

/** What Gemini models take, by their names: ai.google.dev, "Gemini thinking"; compared with vercel/ai packages/google. */
export interface GeminiFacts {
  /** level: from Gemini 3 on; budget: 2.5; none: before, and Gemma. */
  readonly thinking: 'level' | 'budget' | 'none'
  /** Wants signatures with calls of the current turn, and takes media in results. */
  readonly signs: boolean
  /** Takes instructions in a field of their own. */
  readonly system: boolean
  /** The lowest level, and the smallest budget but 0. */
  readonly leastLevel: string
  readonly leastBudget: number
  /** Cannot be kept from thinking. */
  readonly mustThink: boolean
  /** Knows `medium`. */
  readonly medium: boolean
}

/** Major and minor version in `gemini-3.1-pro`; the moving names are of the newest. */
function versionOf(name: string): number {
  const at = name.indexOf('gemini-')
  if (at < 0) return 0
  const version = Number.parseFloat(name.slice(at + 'gemini-'.length))
  return Number.isNaN(version) ? (name.endsWith('-latest') ? 3.5 : 0) : version
}

/** model: also with a path before it, as on Vertex. */
export function geminiFacts(model: string): GeminiFacts {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase()
  const version = versionOf(name)
  const thinks = !name.includes('-image') && !name.includes('gemma')
  const pro = name.includes('pro')
  const lite = name.includes('flash-lite')
  return {
    thinking: !thinks || version < 2.5 ? 'none' : version < 3 ? 'budget' : 'level',
    signs: version >= 3,
    system: !name.includes('gemma-3') && !name.includes('gemma-2'),
    leastLevel: name.includes('flash') && (lite || version < 3.7) ? 'minimal' : 'low',
    leastBudget: pro ? 128 : lite ? 512 : 1,
    mustThink: pro,
    medium: !(version === 3 && pro),
  }
}

/** As Google's own chat API maps efforts: ai.google.dev, "OpenAI compatibility". */
const BUDGETS: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 1024,
  medium: 8192,
  high: 24576,
  xhigh: 24576,
  max: 24576,
}

/** `generationConfig.thinkingConfig`; undefined = left out. */
export function thinkingConfig(facts: GeminiFacts, reasoning: Reasoning | undefined): JsonObject | undefined {
  if (reasoning === undefined || facts.thinking === 'none') return undefined
  const { effort, budget, visible } = reasoning
  const config: JsonObject = {}
  if (budget !== null) config['thinkingBudget'] = facts.thinking === 'budget' ? bounded(budget, facts) : budget
  else if (effort !== null && facts.thinking === 'level') config['thinkingLevel'] = levelOf(effort, facts)
  else if (effort !== null) config['thinkingBudget'] = bounded(effort === 'none' ? 0 : (BUDGETS[effort] ?? 8192), facts)
  const asked = Object.keys(config).length > 0 && effort !== 'none' && budget !== 0
  if (visible ?? asked) config['includeThoughts'] = true
  return Object.keys(config).length > 0 ? config : undefined
}

function bounded(budget: number, facts: GeminiFacts): number {
  if (budget < 0) return -1
  return budget === 0 && !facts.mustThink ? 0 : Math.max(budget, facts.leastBudget)
}

function levelOf(effort: string, facts: GeminiFacts): string {
  if (effort === 'none' || effort === 'minimal') return facts.leastLevel
  if (effort === 'medium') return facts.medium ? 'medium' : 'high'
  return effort === 'low' ? 'low' : 'high'
}
