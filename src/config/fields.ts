/** Building blocks of the configuration schema: every field has a type, a default or none, and a description. */
import { z } from 'zod'
import { OPERATION_NAMES } from '../protocol/operations.ts'
import { DURATION_PATTERN, parseDuration, parsePercent, parseSize, PERCENT_PATTERN, SIZE_PATTERN } from './units.ts'

/** Of keys that what lies elsewhere is encrypted with. */
export const KEY_HELP = 'must be 32 bytes in base64, as `openssl rand -base64 32` makes them'

const DURATION_HELP = 'must be a duration such as `500ms`, `30s`, `10m` or `1h`, at most `30d`'
const SIZE_HELP = 'must be a size such as `64KiB`, `32MiB` or `1MB`, at most `1024GiB`'
const SHARE_HELP = 'must be a share from 0 to 1, or `0%` to `100%`'

/** A transform that turns undefined into an issue: for texts that fit the pattern and are out of range. */
const parsed = (parse: (text: string) => number | undefined, help: string) =>
  z.transform<string, number>((text, context) => {
    const value = parse(text)
    if (value !== undefined) return value
    context.issues.push({ code: 'custom', message: help, input: text })
    return z.NEVER
  })

const text = (pattern: RegExp, help: string): z.ZodString => z.string({ error: help }).regex(pattern, { error: help })

/** Milliseconds out of `30s`. */
export const duration = z
  .union([z.literal(0), text(DURATION_PATTERN, DURATION_HELP).pipe(parsed(parseDuration, DURATION_HELP))], {
    error: DURATION_HELP,
  })
  .meta({ id: 'Duration', title: 'duration' })

/** Bytes out of `32MiB`. */
export const size = z
  .union([z.literal(0), text(SIZE_PATTERN, SIZE_HELP).pipe(parsed(parseSize, SIZE_HELP))], { error: SIZE_HELP })
  .meta({ id: 'Size', title: 'size' })

/** 0..1 out of `0.2` or `20%`. */
export const share = z
  .union([z.number().min(0).max(1), text(PERCENT_PATTERN, SHARE_HELP).pipe(parsed(parsePercent, SHARE_HELP))], {
    error: SHARE_HELP,
  })
  .meta({ id: 'Share', title: 'share' })

export const integer = (min: number, max: number): z.ZodNumber =>
  z
    .number()
    .int()
    .min(min, { error: `must be at least ${min}` })
    .max(max, { error: `must be at most ${max}` })

export const port = integer(0, 65_535)
/** What a request may ask for. */
export const operation = z.enum(OPERATION_NAMES)
export const flag = z.boolean()
export const name = z.string().min(1, { error: 'must not be empty' }).max(256, { error: 'longer than 256 characters' })
/** Text that may hold a secret or a document: bounded, never quoted in a message. */
export const longText = z.string().min(1, { error: 'must not be empty' }).max(1_048_576, { error: 'longer than 1 MiB' })

/** A field that may be left out; `value` is what then holds, written as in the file. */
export const withDefault = <T extends z.ZodType>(schema: T, value: z.input<T>, description: string): z.ZodPrefault<T> =>
  z.prefault(schema, value).describe(description)

/** A field that may be left out and has no default of its own. */
export const optional = <T extends z.ZodType>(schema: T, description: string): z.ZodOptional<T> =>
  z.optional(schema).describe(description)

/** A part whose fields all have defaults, and which can therefore be left out whole. */
export const section = <S extends z.ZodRawShape>(shape: S, description: string) =>
  z.prefault(z.strictObject(shape), {} as never).describe(description)

type Override<S> = {
  [K in keyof S]: S[K] extends z.ZodPrefault<infer T>
    ? T extends z.ZodObject<infer U, infer C>
      ? z.ZodOptional<z.ZodObject<Override<U> & z.ZodRawShape, C>>
      : z.ZodOptional<T>
    : S[K]
}

/** The same fields without defaults: what one model says differently. Descriptions stay. */
export const overridable = <S extends z.ZodRawShape>(shape: S): Override<S> => {
  const entries = Object.entries(shape).map(([key, field]) => {
    if (!(field instanceof z.ZodPrefault)) return [key, field] as const
    const inner = field.unwrap() as z.ZodType
    const bare = inner instanceof z.ZodObject ? z.strictObject(overridable(inner.shape as z.ZodRawShape)) : inner
    return [key, z.optional(bare).describe(field.description ?? '')] as const
  })
  return Object.fromEntries(entries) as Override<S>
}
