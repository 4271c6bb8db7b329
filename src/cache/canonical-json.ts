/** One string of the request, found by where it stands. */
export interface Place {
  readonly holder: object
  readonly key: string | number
}

/**
 * The same text for the same JSON value, whatever order its keys came in. left: keys of the root that are left out. hole:
 * a string that is left out as well, by a mark that no JSON text has. Depth is bounded by who parsed it.
 */
export function canonicalJson(root: object, left: ReadonlySet<string>, hole: Place | null): string {
  let out = '{'
  for (const key of Object.keys(root).sort()) {
    if (left.has(key)) continue
    const value = (root as Record<string, unknown>)[key]
    out += `${JSON.stringify(key)}:${hole?.holder === root && hole.key === key ? HOLE : write(value, hole)},`
  }
  return `${out}}`
}

const HOLE = '\u0000'

function write(value: unknown, hole: Place | null): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) {
    let out = '['
    for (let i = 0; i < value.length; i++)
      out += `${hole?.holder === value && hole.key === i ? HOLE : write(value[i], hole)},`
    return `${out}]`
  }
  const record = value as Record<string, unknown>
  const keys = Object.keys(record)
  if (keys.length > 1) keys.sort()
  let out = '{'
  for (const key of keys)
    out += `${JSON.stringify(key)}:${hole?.holder === value && hole.key === key ? HOLE : write(record[key], hole)},`
  return `${out}}`
}
