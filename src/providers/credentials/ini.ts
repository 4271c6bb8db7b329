/**
 * One section of an AWS shared credentials file, names in lower case; null = it has none of that name. Lines that
 * begin with `#` or `;` are comments, `[profile x]` is `[x]` (the form of ~/.aws/config).
 */
export function readIniSection(text: string, wanted: string): Readonly<Record<string, string>> | null {
  let section: Record<string, string> | null = null
  let inside = false
  for (const line of text.split(/\r?\n/)) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue
    const header = /^\[\s*(?:profile\s+)?([^\]]+?)\s*\]/.exec(trimmed)
    if (header !== null) {
      inside = header[1] === wanted
      if (inside) section ??= Object.create(null) as Record<string, string>
      continue
    }
    const at = trimmed.indexOf('=')
    // Indented lines belong to nested settings, which have nothing for us.
    if (!inside || at < 0 || /^\s/.test(line)) continue
    section![trimmed.slice(0, at).trim().toLowerCase()] = trimmed.slice(at + 1).trim()
  }
  return section
}
