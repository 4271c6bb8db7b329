/** Past the string that begins at `from`. The text is known to be JSON. */
const stringEnd = (text: string, from: number): number => {
  let at = from + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

/** Does an object at any level of this JSON text hold one name twice? Names count as they read, escapes resolved. */
const hasDuplicateNames = (text: string): boolean => {
  const open: (Set<string> | null)[] = []
  let atName = false
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '{') {
      open.push(new Set())
      atName = true
    } else if (c === '[') {
      open.push(null)
      atName = false
    } else if (c === '}' || c === ']') open.pop()
    else if (c === ',') atName = open.at(-1) !== null
    else if (c === '"') {
      const end = stringEnd(text, i)
      const names = open.at(-1)
      if (atName && names !== null && names !== undefined) {
        const name = JSON.parse(text.slice(i, end)) as string
        if (names.has(name)) return true
        names.add(name)
      }
      atName = false
      i = end - 1
    }
  }
  return false
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * The JSON object that a part of a token holds: base64url in its one form (RFC 4648 section 3.5, no padding), valid UTF-8,
 * and no name twice (RFC 7519 section 4 leaves it to the parser which one counts, so that two of them may disagree).
 * null = anything else.
 */
export const decodeObject = (part: string): JsonObject | null => {
  const bytes = decodeBase64Url(part)
  if (bytes === null) return null
  try {
    const text = decoder.decode(bytes)
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
    return hasDuplicateNames(text) ? null : (value as JsonObject)
  } catch {
    return null
  }
}

/** null when a character is none of the alphabet, or bits at the end are not zero: one value has one form. */
export const decodeBase64Url = (text: string): Buffer | null => {
  const bytes = Buffer.from(text, 'base64url')
  return text !== '' && bytes.toString('base64url') === text ? bytes : null
}
