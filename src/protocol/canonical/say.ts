import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerFeature, Feature, Support } from '../../contracts/dialect.ts'
import type { CacheMark } from '../../contracts/canonical.ts'
import { ERROR_CODES, GatewayError } from '../../core/errors.ts'
import { FEATURES } from './features.ts'
import { isObject, maybeText, objectAt } from './read.ts'

/** Small things that all client dialects share. */

/** What a client reads of an error: the message, and what to do about it unless the message is a provider's own. */
export const errorText = (error: GatewayError): string =>
  error.verbatim ? error.message : `${error.message} ${ERROR_CODES[error.code].help}`

/** A field that Heddle knows and cannot do. */
export const notYet = (param: string, why: string): GatewayError =>
  new GatewayError('unsupported_parameter', `The field '${param}' is not supported here: ${why}.`, { param })

/** Names between spaces and line breaks, as a set. */
export const fieldNames = (names: string): ReadonlySet<string> =>
  new Set(names.split(/\s+/).filter((name) => name !== ''))

/** Top-level fields that are not known. */
export function unknownFields(sent: JsonObject, known: ReadonlySet<string>): readonly string[] | undefined {
  let found: string[] | undefined
  for (const name of Object.keys(sent)) if (!known.has(name) && sent[name] !== null) (found ??= []).push(name)
  return found
}

/** param: of the owner, '' = the request itself. Anthropic's `cache_control`, which others have taken over, and OpenAI's `prompt_cache_breakpoint`. */
export function cacheMark(owner: JsonObject, param: string): CacheMark | undefined {
  const value = owner['cache_control'] ?? owner['prompt_cache_breakpoint']
  if (value === undefined || value === null) return undefined
  const name = owner['cache_control'] != null ? 'cache_control' : 'prompt_cache_breakpoint'
  const at = param === '' ? name : `${param}.${name}`
  return { ttl: maybeText(objectAt(value, at)['ttl'], `${at}.ttl`) ?? null }
}

/** Yes to everything but the rows given. */
export function speaksAll(but: Partial<Record<Feature, Support>>): Readonly<Record<Feature, Support>> {
  const rows: Partial<Record<Feature, Support>> = {}
  for (const name of Object.keys(FEATURES) as Feature[]) rows[name] = but[name] ?? 'yes'
  return rows as Record<Feature, Support>
}

/** Yes to everything but the rows given. */
export const takesAll = (but: Partial<Record<AnswerFeature, Support>>): Readonly<Record<AnswerFeature, Support>> => ({
  tool_calls: 'yes',
  tool_custom: 'yes',
  reasoning: 'yes',
  reasoning_proof: 'yes',
  refusal: 'yes',
  citations: 'yes',
  logprobs: 'yes',
  choices: 'yes',
  stop_sequence: 'yes',
  cached_tokens: 'yes',
  cache_write_tokens: 'yes',
  reasoning_tokens: 'yes',
  ...but,
})

/** JSON that a model wrote, or undefined when it is not (yet) JSON. */
export function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/**
 * Arguments as an object, for dialects that have no text of them. What is no object (a model that broke off, free text of
 * a custom tool) stands whole under `raw_arguments`: an empty object would call the tool with something nobody said.
 */
export function argumentsObject(text: string): JsonObject {
  if (text.trim() === '') return {}
  const value = parsed(text)
  return isObject(value) ? value : { [RAW_ARGUMENTS]: text }
}

const RAW_ARGUMENTS = 'raw_arguments'

/** The text of what argumentsObject() gave, for a client that returns it. */
export function argumentsText(value: JsonObject): string {
  const raw = value[RAW_ARGUMENTS]
  return typeof raw === 'string' && Object.keys(value).length === 1 ? raw : JSON.stringify(value)
}

/** `prefix` + what the backend calls it, or the request's id. */
export const prefixed = (prefix: string, id: string, requestId: string): string =>
  id.startsWith(prefix) && id.length > prefix.length ? id : `${prefix}${id === '' ? requestId : id}`
