const SAFE_PATH = /^(?:\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+\/?$/
// However often encoded, and with path parameters (RFC 3986 3.3), which some servers drop before they resolve dots.
const DOTS = /(?:^|\/)(?:\.|%(?:25)*2e){1,2}(?:(?:;|%(?:25)*3b)[^/]*)?(?:\/|$)/i
const ENCODED_SLASH = /%(?:25)*(?:2f|5c|00)/i

/** A path that means the same to every server: no dot segments, no encoded slashes, nothing that a URL may not hold. */
export const isSafePath = (path: string): boolean =>
  SAFE_PATH.test(path) && !DOTS.test(path) && !ENCODED_SLASH.test(path)

/** As some servers read a path: with escapes resolved, twice where a proxy in between may do it too, and without parameters. */
export function plainPath(path: string): string {
  let plain = path
  for (let i = 0; i < 2 && plain.includes('%'); i++) plain = decodeId(plain)
  return plain.includes(';') ? plain.replaceAll(/;[^/]*/g, '') : plain
}

/** Text as it is where it is no valid escape. */
export function decodeId(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
