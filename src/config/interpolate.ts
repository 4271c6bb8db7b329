import { readFileSync, statSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'

/** Where `${...}` finds its values. Injected so that tests and `heddle explain` need no real environment. */
export interface SecretSource {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string
}

export type Interpolated =
  | { readonly ok: true; readonly value: string; readonly files: readonly string[] }
  | { readonly ok: false; readonly message: string; readonly files: readonly string[] }

/** A secret is a key or a certificate bundle; more is a mistake in the path (or `/dev/zero`). */
const MAX_SECRET_BYTES = 1024 * 1024

/** Reads a regular file of at most 1 MiB; throws an Error whose message names the cause but no content. */
export const readSecretFile = (path: string): string => {
  const stat = statSync(path)
  if (!stat.isFile()) throw new Error('not a regular file')
  if (stat.size > MAX_SECRET_BYTES) throw new Error('larger than 1 MiB')
  return readFileSync(path, 'utf8')
}

const causeOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EACCES') return 'permission denied'
  return error instanceof Error && code === undefined ? error.message : String(code ?? 'cannot be read')
}

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

const resolveEnv = (body: string, source: SecretSource): string | { readonly error: string } => {
  const at = body.indexOf(':-')
  const name = at < 0 ? body : body.slice(0, at)
  if (!ENV_NAME.test(name)) return { error: `\`\${env:${body}}\` does not name an environment variable` }
  const value = source.env[name]
  // As in a shell, `:-` also replaces an empty value: an unset secret often arrives as an empty one.
  if (at >= 0) return value === undefined || value === '' ? body.slice(at + 2) : value
  if (value === undefined) return { error: `environment variable ${name} is not set` }
  if (value === '') return { error: `environment variable ${name} is empty` }
  return value
}

const resolveFile = (path: string, baseDir: string, source: SecretSource, files: string[]) => {
  const full = isAbsolute(path) ? path : resolve(baseDir, path)
  files.push(full)
  try {
    return source.readFile(full).replace(/\r?\n$/, '')
  } catch (error) {
    return { error: `\`\${file:${path}}\`: ${causeOf(error)}` }
  }
}

/**
 * Replaces `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` (relative to the configuration's folder, one
 * trailing newline cut). `$${` stands for a literal `${`. Values are not expanded again: a secret may hold `${`.
 */
export const interpolate = (text: string, baseDir: string, source: SecretSource): Interpolated => {
  const files: string[] = []
  let value = ''
  let at = 0
  for (;;) {
    const start = text.indexOf('${', at)
    if (start < 0) return { ok: true, value: value + text.slice(at), files }
    if (text[start - 1] === '$' && start > at) {
      value += text.slice(at, start - 1) + '${'
      at = start + 2
      continue
    }
    const end = text.indexOf('}', start)
    if (end < 0) return { ok: false, message: '`${` without `}`; write `$${` for a literal `${`', files }
    const body = text.slice(start + 2, end)
    value += text.slice(at, start)
    let found: string | { readonly error: string }
    if (body.startsWith('env:')) found = resolveEnv(body.slice(4), source)
    else if (body.startsWith('file:')) found = resolveFile(body.slice(5), baseDir, source, files)
    else {
      found = {
        error: `\`\${${body}}\` is neither \`\${env:NAME}\` nor \`\${file:PATH}\`; write \`$\${\` for a literal \`\${\``,
      }
    }
    if (typeof found !== 'string') return { ok: false, message: found.error, files }
    value += found
    at = end + 1
  }
}
