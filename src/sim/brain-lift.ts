/** Finds the values a tool call needs in the words of the prompt. Each found value is given out once. */
import type { Lift } from './brain-schema.ts'
import type { Json, JsonObject } from './json.ts'
import { asString, table } from './json.ts'

/** Words of an identifier: `getWeatherNow`, `get_weather_now` and `get-weather-now` are the same three. */
export const wordsOf = (identifier: string): string[] =>
  identifier
    .replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')

const PLACE_KEY = /city|location|place|country|destination|origin|address|town|region|state/i
const WHOLE_TEXT_KEY =
  /query|question|input|text|prompt|message|content|description|expression|request|task|instruction/i
const PLACE = /\b(?:in|for|at|to|from|near|of)\s+((?:\p{Lu}[\p{L}.'-]*)(?:(?:, | )\p{Lu}[\p{L}.'-]*)*)/gu
const QUOTED = /(?<![\p{L}\p{N}])['"“‘`「『]([^'"“”‘’`「」『』\n]{1,400})['"”’`」』](?!\p{L})/gu
const NUMBER = /(?<![\p{L}\d_.])-?\d+(?:\.\d+)?(?![\p{L}\d_]|\.\d)/gu
const NAMED = /(?<!^|[.!?:]\s|\p{L})\p{Lu}[\p{L}'-]+(?: \p{Lu}[\p{L}'-]+)*/gu

const FORMATTED = table<RegExp>({
  email: /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/,
  uri: /https?:\/\/[^\s"'<>)]+/,
  url: /https?:\/\/[^\s"'<>)]+/,
  date: /\b\d{4}-\d{2}-\d{2}\b/,
  'date-time': /\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})/,
  uuid: /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/i,
})

const escapeRegExp = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

const firstGroups = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => (match[1] ?? match[0]).trim())

/** `name: Ada`, `name = "Ada"` or `name is Ada`. */
const labelled = (text: string, key: string): string | undefined => {
  const label = wordsOf(key).map(escapeRegExp).join('[ _-]?')
  if (label === '') return undefined
  const found = new RegExp(
    String.raw`(?<![\p{L}\p{N}_])${label}["'\x60]?(?:\s*[:=]\s*|\s+is\s+)["'\x60]?([^\s"'\x60,;()]+)`,
    'iu',
  ).exec(text)
  return found?.[1]?.replace(/[.!?]+$/, '')
}

export const createLift = (text: string): Lift => {
  const numbers = firstGroups(text, NUMBER).map(Number)
  const quoted = firstGroups(text, QUOTED)
  const places = firstGroups(text, PLACE)
  const named = firstGroups(text, NAMED)
  const forKey = (key: string, wanted: JsonObject, consume: boolean): string | undefined => {
    const format = FORMATTED[asString(wanted['format']) ?? ''] ?? FORMATTED[key.toLowerCase()]
    if (format !== undefined) return format.exec(text)?.[0]
    const value = labelled(text, key)
    if (value !== undefined) return value
    if (PLACE_KEY.test(key)) return consume ? places.shift() : places[0]
    return undefined
  }
  return {
    string: (key, wanted) => {
      if (wanted['optional'] === true) return forKey(key, wanted, false)
      const direct = forKey(key, wanted, true)
      if (direct !== undefined) return direct
      if (wanted['format'] !== undefined) return undefined
      const next = quoted.shift()
      if (next !== undefined) return next
      if (WHOLE_TEXT_KEY.test(key) && text !== '') return text.slice(0, 400)
      return named.shift()
    },
    number: () => numbers.shift(),
    member: (_key, members) => {
      const lower = text.toLowerCase()
      return members.find(
        (member: Json) => typeof member === 'string' && member.length > 1 && lower.includes(member.toLowerCase()),
      )
    },
    word: (key) => wordsOf(key).join(' ') || 'value',
  }
}
