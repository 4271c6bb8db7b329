/** Whether a name is one of a compiled list. */
export type Matcher = (name: string) => boolean

/** Does `pattern` with any number of `*` fit the whole of `name`? Linear in the name for each part between stars. */
const fits = (parts: readonly string[], name: string): boolean => {
  const first = parts[0] ?? ''
  const last = parts.at(-1) ?? ''
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  const end = name.length - last.length
  let at = first.length
  for (let i = 1; i < parts.length - 1; i++) {
    const part = parts[i] ?? ''
    const found = name.indexOf(part, at)
    // Leftmost is enough: whatever a later place would leave for the rest, an earlier one leaves more.
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

/**
 * Compiles glob patterns: `*` stands for any text, the empty one and `/` included; every other character for itself, case
 * counts. Names without a star cost one look into a set. An empty list fits nothing.
 */
export const compileGlobs = (patterns: readonly string[]): Matcher => {
  if (patterns.includes('*')) return () => true
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')))
  const open = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*'))
  if (open.length === 0) return (name) => exact.has(name)
  return (name) => {
    if (exact.has(name)) return true
    for (const parts of open) if (fits(parts, name)) return true
    return false
  }
}
