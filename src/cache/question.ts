import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { Operation } from '../contracts/operation.ts'
import { isObject } from '../protocol/canonical/read.ts'
import type { Place } from './canonical-json.ts'

/** The last thing that the user says, when it is one text and nothing else; else null: then only the same request is the same. */
export function questionOf(operation: Operation, sent: JsonObject): Place | null {
  switch (operation) {
    case 'chat':
    case 'messages':
    case 'ollama_chat':
    case 'cohere_chat':
    case 'converse':
      return ofTurns(sent['messages'], 'content')
    case 'generate_content':
      return ofTurns(sent['contents'], 'parts')
    case 'responses':
      return typeof sent['input'] === 'string' ? { holder: sent, key: 'input' } : ofTurns(sent['input'], 'content')
    case 'completions':
      return typeof sent['prompt'] === 'string' ? { holder: sent, key: 'prompt' } : null
    default:
      return null
  }
}

function ofTurns(turns: Json | undefined, field: string): Place | null {
  if (!Array.isArray(turns)) return null
  const last = turns.at(-1)
  if (!isObject(last)) return null
  // Gemini's contents need not say whose they are.
  if (last['role'] !== 'user' && !(field === 'parts' && last['role'] === undefined)) return null
  // Of Ollama: pictures stand beside the text.
  if (last['images'] !== undefined) return null
  const content = last[field]
  if (typeof content === 'string') return { holder: last, key: field }
  if (!Array.isArray(content) || content.length !== 1) return null
  const part = content[0]
  if (typeof part === 'string') return { holder: content, key: 0 }
  return isObject(part) && typeof part['text'] === 'string' ? { holder: part, key: 'text' } : null
}

export const textAt = ({ holder, key }: Place): string => (holder as Record<string | number, string>)[key]!
