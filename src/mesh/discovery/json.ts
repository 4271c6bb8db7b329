/** Reading what registries say: nothing in it is taken for granted. */
import { DiscoveryFault } from './parts.ts'

export type Json = Readonly<Record<string, unknown>>

/** A map, or an empty one in place of anything else. */
export const mapOf = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Throws DiscoveryFault `invalid`. what: names the answer, for the log. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, which may hold anything.
    throw new DiscoveryFault('invalid', `${what}: no JSON`)
  }
}
