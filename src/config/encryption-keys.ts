import type { Build } from './build.ts'
import { KEY_HELP } from './fields.ts'
import type { Path } from './problem.ts'

const KEY_BYTES = 32
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/

/** Faults never quote the text: it is the secret, or a mistyped one. */
function toKey(text: string, path: Path, { map, problems }: Build): string | null {
  const key = Buffer.from(text.trim(), 'base64')
  if (BASE64.test(text.trim()) && key.length === KEY_BYTES) return key.toString('base64')
  problems.push(map.problem(path, KEY_HELP))
  return null
}

/** Keys that what lies elsewhere is encrypted with (AES-256), base64. The first encrypts, all decrypt. */
export function toKeys(value: string | readonly string[] | undefined, path: Path, build: Build): readonly string[] {
  if (value === undefined) return []
  if (typeof value === 'string') return [toKey(value, path, build) ?? []].flat()
  return value.flatMap((text, i) => toKey(text, [...path, i], build) ?? [])
}
