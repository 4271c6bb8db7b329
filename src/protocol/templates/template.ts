import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { Variables } from './variables.ts'

/** A template that has been read. */
export type Template =
  | { readonly kind: 'value'; readonly value: Json }
  | { readonly kind: 'variable'; readonly name: string }
  /** Texts and names of variables in turn; the first is a text. */
  | { readonly kind: 'text'; readonly pieces: readonly string[] }
  | { readonly kind: 'list'; readonly items: readonly Template[] }
  | { readonly kind: 'object'; readonly fields: readonly (readonly [string, Template])[] }

const PLACE = /\{\{\s*([A-Za-z_][\w-]*(?:\.[\w-]+)*)\s*\}\}/g

/** Reads `{{name}}` in all texts of a JSON value. Never throws; what is no place stays text. */
export function readTemplate(source: Json): Template {
  if (typeof source === 'string') return readText(source)
  if (Array.isArray(source)) return { kind: 'list', items: source.map(readTemplate) }
  if (typeof source === 'object' && source !== null)
    return { kind: 'object', fields: Object.entries(source).map(([key, value]) => [key, readTemplate(value)]) }
  return { kind: 'value', value: source }
}

function readText(text: string): Template {
  const pieces = text.split(PLACE)
  if (pieces.length === 1) return { kind: 'value', value: text }
  if (pieces.length === 3 && pieces[0] === '' && pieces[2] === '') return { kind: 'variable', name: pieces[1]! }
  return { kind: 'text', pieces }
}

/** Names of the variables of a template, without repeats. */
export function variablesIn(template: Template, found = new Set<string>()): Set<string> {
  if (template.kind === 'variable') found.add(template.name)
  else if (template.kind === 'text') for (let i = 1; i < template.pieces.length; i += 2) found.add(template.pieces[i]!)
  else if (template.kind === 'list') for (const item of template.items) variablesIn(item, found)
  else if (template.kind === 'object') for (const [, field] of template.fields) variablesIn(field, found)
  return found
}

/** Braces in pairs that are no place of a variable: somebody meant one. */
export function strayBraces(source: Json): boolean {
  if (typeof source === 'string') return /\{\{|\}\}/.test(source.replace(PLACE, ''))
  if (Array.isArray(source)) return source.some(strayBraces)
  return typeof source === 'object' && source !== null && Object.values(source).some(strayBraces)
}

/** How a value stands in the middle of a text. */
const asText = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value))

/**
 * Fills a template. undefined: it names something that the request does not have. Fields and items of which that is true are
 * left out; the object or list stays. Never throws.
 */
export function fill(template: Template, variables: Variables): Json | undefined {
  switch (template.kind) {
    case 'value':
      return template.value
    case 'variable':
      return variables.get(template.name)
    case 'text':
      return fillText(template.pieces, variables)
    case 'list':
      return template.items.map((item) => fill(item, variables)).filter((item) => item !== undefined)
    case 'object':
      return fillObject(template.fields, variables)
  }
}

function fillText(pieces: readonly string[], variables: Variables): string | undefined {
  let text = pieces[0]!
  for (let i = 1; i < pieces.length; i += 2) {
    const value = variables.get(pieces[i]!)
    if (value === undefined || value === null) return undefined
    text += asText(value) + pieces[i + 1]!
  }
  return text
}

function fillObject(fields: readonly (readonly [string, Template])[], variables: Variables): JsonObject {
  const entries: [string, Json][] = []
  for (const [key, field] of fields) {
    const value = fill(field, variables)
    if (value !== undefined) entries.push([key, value])
  }
  // A key may be `__proto__`: assigned, it would be none.
  return Object.fromEntries(entries)
}
