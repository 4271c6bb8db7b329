/** Short answers to the questions people ask first: a demo that knows Paris is pleasanter than one that does not. */
import { table } from './json.ts'

const CAPITALS = table<string>({
  argentina: 'Buenos Aires',
  australia: 'Canberra',
  austria: 'Vienna',
  belgium: 'Brussels',
  brazil: 'Brasília',
  canada: 'Ottawa',
  chile: 'Santiago',
  china: 'Beijing',
  colombia: 'Bogotá',
  denmark: 'Copenhagen',
  egypt: 'Cairo',
  england: 'London',
  finland: 'Helsinki',
  france: 'Paris',
  germany: 'Berlin',
  greece: 'Athens',
  hungary: 'Budapest',
  iceland: 'Reykjavík',
  india: 'New Delhi',
  indonesia: 'Jakarta',
  ireland: 'Dublin',
  italy: 'Rome',
  japan: 'Tokyo',
  kenya: 'Nairobi',
  mexico: 'Mexico City',
  morocco: 'Rabat',
  netherlands: 'Amsterdam',
  'new zealand': 'Wellington',
  nigeria: 'Abuja',
  norway: 'Oslo',
  peru: 'Lima',
  poland: 'Warsaw',
  portugal: 'Lisbon',
  romania: 'Bucharest',
  scotland: 'Edinburgh',
  'south korea': 'Seoul',
  spain: 'Madrid',
  sweden: 'Stockholm',
  switzerland: 'Bern',
  thailand: 'Bangkok',
  turkey: 'Ankara',
  ukraine: 'Kyiv',
  'united kingdom': 'London',
  'united states': 'Washington, D.C.',
  vietnam: 'Hanoi',
  wales: 'Cardiff',
})

const lastMatch = (text: string, pattern: RegExp): RegExpMatchArray | undefined => [...text.matchAll(pattern)].at(-1)

const capital = (text: string): string | undefined => {
  const asked = lastMatch(text, /\bcapital(?: city)? of (?:the )?(\p{L}+(?: \p{L}+)?)/giu)
  const place = asked?.[1]
  if (place === undefined) return undefined
  for (const name of [place, place.split(' ')[0] ?? place]) {
    const city = CAPITALS[name.toLowerCase()]
    if (city !== undefined) return `The capital of ${name.replace(/^\p{Ll}/u, (c) => c.toUpperCase())} is ${city}.`
  }
  return undefined
}

const OPERATIONS: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  plus: (a, b) => a + b,
  '-': (a, b) => a - b,
  minus: (a, b) => a - b,
  '*': (a, b) => a * b,
  x: (a, b) => a * b,
  times: (a, b) => a * b,
  '/': (a, b) => a / b,
}

const sum = (text: string): string | undefined => {
  const asked = lastMatch(text, /(-?\d+(?:\.\d+)?)\s*(\+|-|\*|x|\/|plus|minus|times)\s*(-?\d+(?:\.\d+)?)/g)
  const [, left, sign, right] = asked ?? []
  if (left === undefined || sign === undefined || right === undefined) return undefined
  const value = OPERATIONS[sign]?.(Number(left), Number(right))
  if (value === undefined || !Number.isFinite(value)) return undefined
  return `${left} ${sign} ${right} = ${Number(value.toPrecision(12))}.`
}

const repeat = (text: string): string | undefined => {
  const asked =
    /^\s*(?:please )?(?:say|repeat|echo|reply with|respond with|answer with)(?: exactly| only| after me| the words?)?:?\s+["'“`]?(.+?)["'”`]?\s*$/is.exec(
      text,
    )
  return asked?.[1]
}

const count = (text: string): string | undefined => {
  const asked = /\bcount (?:from (\d+) )?(?:up )?to (\d+)/i.exec(text)
  if (asked === null) return undefined
  const from = Number(asked[1] ?? 1)
  const to = Math.min(Number(asked[2]), from + 9_999)
  if (to < from) return undefined
  return Array.from({ length: to - from + 1 }, (_, i) => from + i).join(', ') + '.'
}

const greeting = (text: string): string | undefined =>
  /^\s*(?:hello|hi|hey|good (?:morning|afternoon|evening))\b/i.test(text) && text.length < 40
    ? 'Hello! How can I help you today?'
    : undefined

/** Recalls a name given earlier, so that examples with conversation memory work. */
const nameOf = (text: string, earlier: string): string | undefined => {
  if (!/\bwhat(?:'s| is) my name\b|\bdo you (?:know|remember) my name\b/i.test(text)) return undefined
  const told = lastMatch(`${earlier}\n${text}`, /\b(?:my name is|i am called|call me)\s+(\p{Lu}[\p{L}'-]*)/giu)?.[1]
  return told === undefined ? 'You have not told me your name yet.' : `Your name is ${told}.`
}

/** @param earlier all messages before the last user text, joined. */
export const knownAnswer = (text: string, earlier: string): string | undefined =>
  repeat(text) ?? capital(text) ?? nameOf(text, earlier) ?? count(text) ?? sum(text) ?? greeting(text)
