import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { Operation } from '../contracts/operation.ts'
import { isObject } from '../protocol/canonical/read.ts'

/** Whose answers may be kept. */
const OPERATIONS: ReadonlySet<Operation> = new Set<Operation>([
  'chat',
  'completions',
  'responses',
  'messages',
  'generate_content',
  'ollama_chat',
  'cohere_chat',
  'converse',
  'embeddings',
])

/** A larger request costs more to compare than it is likely to come again, bytes. */
export const MAX_REQUEST_BYTES = 1024 * 1024

const HOLDERS = ['generationConfig', 'generation_config', 'options', 'inferenceConfig'] as const
/** Of the Responses API: what is kept, or goes on from what is. */
const STATE = ['previous_response_id', 'conversation', 'background', 'prompt'] as const
/** Tools that look at the world, whose answers are of the moment. Those of the caller are only named in the answer. */
const CALLERS_TOOLS: ReadonlySet<Json | undefined> = new Set([undefined, 'function', 'custom'])
const CALLERS_KEYS: ReadonlySet<string> = new Set(['functionDeclarations', 'function_declarations', 'toolSpec'])

export const mayBeCached = (operation: Operation): boolean => OPERATIONS.has(operation)

/** Why a request passes the cache by; '' = it does not. */
export function whyNot(operation: Operation, sent: JsonObject, maxTemperature: number): string {
  const temperature = temperatureOf(sent)
  if (temperature !== null && temperature > maxTemperature) return 'temperature'
  for (const field of ['n', 'best_of', 'num_generations', 'candidateCount'])
    if (numberIn(sent, field) > 1) return 'choices'
  if (sent['modalities'] !== undefined && JSON.stringify(sent['modalities']).includes('audio')) return 'audio'
  if (operation === 'responses') {
    // What is kept is found again by the id of its answer: each request must have one of its own.
    if (sent['store'] !== false) return 'stored'
    if (STATE.some((field) => sent[field] !== undefined && sent[field] !== null && sent[field] !== false))
      return 'state'
  }
  if (sent['web_search_options'] !== undefined || looksOut(sent['tools'])) return 'live_tools'
  return ''
}

function temperatureOf(sent: JsonObject): number | null {
  if (typeof sent['temperature'] === 'number') return sent['temperature']
  for (const holder of HOLDERS) {
    const inner = sent[holder]
    if (isObject(inner) && typeof inner['temperature'] === 'number') return inner['temperature']
  }
  return null
}

function numberIn(sent: JsonObject, field: string): number {
  if (typeof sent[field] === 'number') return sent[field]
  for (const holder of HOLDERS) {
    const inner = sent[holder]
    if (isObject(inner) && typeof inner[field] === 'number') return inner[field]
  }
  return 0
}

function looksOut(tools: Json | undefined): boolean {
  if (!Array.isArray(tools)) return false
  return tools.some((tool) => {
    if (!isObject(tool)) return false
    if (!CALLERS_TOOLS.has(tool['type'])) return true
    const keys = Object.keys(tool)
    // Gemini's and Bedrock's tools are named by their only key.
    return keys.length === 1 && tool['type'] === undefined && !CALLERS_KEYS.has(keys[0]!) && keys[0] !== 'function'
  })
}

/** Words by which a question asks about what is now: its answer is another one tomorrow. English, Chinese, and main European languages. */
const NOW =
  /\b(?:now|today|tonight|tomorrow|yesterday|currently?|latest|newest|recent(?:ly)?|this (?:week|month|year|morning|evening)|(?:last|next) (?:week|month|year)|at the moment|nowadays|up[- ]to[- ]date|what time|what day|what date|weather|forecast|news|stock|price|prices|exchange rate|score|live|heute|jetzt|aktuell|gestern|morgen|aujourd'hui|maintenant|actuel|hoy|ahora|actual|oggi|adesso|attuale|hoje|agora|atual)\b|现在|今天|今日|明天|昨天|最新|目前|当前|刚才|最近|本周|本月|今年|几点|天气|新闻|股价|价格|汇率|現在|最新|きょう|今|지금|오늘|최신|сейчас|сегодня|последн/iu

export const asksAboutNow = (question: string): boolean => NOW.test(question)
