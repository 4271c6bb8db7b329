import type { Json, JsonObject } from '../../contracts/canonical.ts'
import { isObject } from '../canonical/read.ts'

/** They name what only an account of AWS has. */
const REFUSED: readonly (readonly [field: string, why: string])[] = [
  ['guardrailConfig', 'guardrails are only applied by Bedrock itself'],
  ['promptVariables', 'prompts are only kept by Bedrock itself'],
]
const MARKS = REFUSED.map(([field]) => Buffer.from(`"${field}"`))

const isSet = (value: Json | undefined): boolean => isObject(value) && Object.keys(value).length > 0

/** A field of a Converse request that nobody else can do, and why; null = there is none. */
export const onlyBedrockIn = (sent: JsonObject): readonly [field: string, why: string] | null =>
  REFUSED.find(([field]) => isSet(sent[field])) ?? null

/** Its name; '' = there is none. The body is only parsed when it may have one. */
export const onlyBedrock = (body: Buffer, parsed: { readonly json: Record<string, unknown> }): string =>
  MARKS.some((mark) => body.includes(mark)) ? (onlyBedrockIn(parsed.json as JsonObject)?.[0] ?? '') : ''
