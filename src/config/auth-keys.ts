import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import type { KeyConfig } from '../contracts/config-auth.ts'
import { checkWhose, toGrant } from './auth-check.ts'
import type { Build } from './build.ts'
import { problemsOf } from './issues.ts'
import { toLimitRules } from './limit-rules.ts'
import { formatPath } from './problem.ts'
import type { Path } from './problem.ts'
import { keysSchema } from './schema-auth.ts'
import type { ParsedKey } from './schema-auth.ts'
import { API_KEY_PATTERN } from './schema-provider.ts'
import { readYaml, SourceMap } from './yaml-source.ts'
import type { Plain } from './yaml-source.ts'

/** Shorter ones can be tried out. 16 random letters and digits are 95 bits. */
export const MIN_KEY_LENGTH = 16
/** Fewer different characters are a placeholder such as `xxxxxxxxxxxxxxxx`. */
const MIN_DISTINCT = 8
const PLACEHOLDER = /change[-_]?me|your[-_]?(?:api[-_]?)?key|password|example|placeholder|12345678|qwerty|abcdefgh/i

/** Why a key in clear must not be used; undefined = nothing against it. Never quotes it. */
export const weakness = (key: string): string | undefined => {
  if (!API_KEY_PATTERN.test(key)) return 'holds a blank, a line break or another character that no key has'
  if (key.length < MIN_KEY_LENGTH)
    return `is shorter than ${MIN_KEY_LENGTH} characters; \`heddle key new\` makes a good one`
  if (new Set(key).size < MIN_DISTINCT || PLACEHOLDER.test(key)) {
    return 'is easy to guess; `heddle key new` makes a good one'
  }
  return undefined
}

/** Lower-case hex, of the key's UTF-8 bytes: what `KeyConfig.hashes` holds. */
export const hashKey = (key: string): string => createHash('sha256').update(key, 'utf8').digest('hex')

interface Secret {
  readonly key?: string | undefined
  readonly hash?: string | undefined
}

const toHash = (secret: Secret, path: Path, { map, problems }: Build): string | null => {
  const { key, hash } = secret
  if ((key === undefined) === (hash === undefined)) {
    const message = key === undefined ? 'needs `key` or `hash`' : 'takes `key` or `hash`, not both'
    problems.push(map.problem(path, message, 'key'))
    return null
  }
  if (hash !== undefined) return hash.slice('sha256:'.length).toLowerCase()
  const fault = weakness(key ?? '')
  if (fault === undefined) return hashKey(key ?? '')
  problems.push(map.problem([...path, 'key'], fault))
  return null
}

const toKey = (parsed: ParsedKey, path: Path, build: Build): KeyConfig => {
  const { id, previous, owner, labels, tenant, team, user, roles, expires } = parsed
  checkWhose(parsed, path, build)
  const current = toHash(parsed, path, build)
  const former = previous === undefined ? null : toHash(previous, [...path, 'previous'], build)
  return {
    id,
    hashes: [
      ...(current === null ? [] : [{ sha256: current, until: Infinity }]),
      ...(former === null ? [] : [{ sha256: former, until: Date.parse(previous?.until ?? '') }]),
    ],
    owner,
    labels,
    tenant,
    team,
    user,
    roles: [...new Set(roles)],
    grant: toGrant(parsed, path, build),
    limits: toLimitRules(parsed.limits, [...path, 'limits'], build),
    expiresAt: expires === undefined ? Infinity : Date.parse(expires),
  }
}

/** Places of a keys file, under the path at which its keys stand in the configuration. */
class KeysFileMap extends SourceMap {
  readonly #inner: SourceMap
  readonly #prefix: Path

  constructor(file: string, inner: SourceMap, prefix: Path) {
    super(file)
    this.#inner = inner
    this.#prefix = prefix
  }

  override get(path: Path) {
    const below = path[0] === 'auth' && path[1] === 'keys' && path.length > 2
    return below ? this.#inner.get([...this.#prefix, ...path.slice(2)]) : undefined
  }
}

interface PlacedKeys {
  readonly keys: readonly ParsedKey[]
  readonly build: Build
}

const KEYS: Path = ['auth', 'keys']

/** The list, or the map with `keys`, that a keys file holds. */
const listIn = (value: Plain): { readonly list: Plain; readonly prefix: Path } | null => {
  if (Array.isArray(value)) return { list: value, prefix: [] }
  if (value === null) return { list: [], prefix: [] }
  if (typeof value !== 'object') return null
  const names = Object.keys(value)
  return names.length === 1 && names[0] === 'keys' ? { list: value['keys'] ?? [], prefix: ['keys'] } : null
}

const readKeysFile = (path: string, build: Build): PlacedKeys => {
  const { map, problems } = build
  const none: PlacedKeys = { keys: [], build }
  const fail = (message: string): PlacedKeys => {
    problems.push(map.problem(['auth', 'keys_file'], message))
    return none
  }
  let text: string
  try {
    text = build.readFile(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    return fail(code === 'ENOENT' ? 'no such file' : `cannot be read${code === '' ? '' : ` (${code})`}`)
  }
  const inner = new SourceMap(path)
  const noFiles = (): string => {
    throw new Error('a keys file cannot name other files')
  }
  const read = readYaml(text, path, dirname(path), inner, { env: build.env, readFile: noFiles })
  problems.push(...read.problems.map((problem) => ({ ...problem, path: `${formatPath(KEYS)}${problem.path}` })))
  if (read.problems.length > 0) return none
  const found = listIn(read.value)
  if (found === null) return fail('must hold a list of keys, or a map with nothing but `keys`')
  const placed = new KeysFileMap(path, inner, found.prefix)
  const parsed = keysSchema.safeParse(found.list)
  if (parsed.success) return { keys: parsed.data, build: { ...build, map: placed } }
  const issues = parsed.error.issues.map((issue) => ({ ...issue, path: [...KEYS, ...issue.path] }))
  problems.push(...problemsOf(issues, { auth: { keys: found.list } }, placed))
  return none
}

/** No two keys may share an id, nor a secret: the gateway could not tell who calls. */
class Uniqueness {
  readonly #ids = new Map<string, string>()
  readonly #hashes = new Map<string, string>()

  check(key: KeyConfig, path: Path, { map, problems }: Build): void {
    const { file, line } = map.problem(path, '')
    const place = line > 0 ? `${file}:${line}` : file
    const same = this.#ids.get(key.id)
    if (same !== undefined) problems.push(map.problem([...path, 'id'], `is already the id of the key at ${same}`))
    this.#ids.set(key.id, place)
    for (const { sha256 } of key.hashes) {
      const owner = this.#hashes.get(sha256)
      if (owner !== undefined) problems.push(map.problem(path, `the same secret stands at ${owner}`, 'key'))
      this.#hashes.set(sha256, place)
    }
  }
}

/** Keys of the configuration and of its keys file, in this order. */
export const toKeys = (
  parsed: readonly ParsedKey[],
  keysFile: string | undefined,
  build: Build,
): readonly KeyConfig[] => {
  const sources: PlacedKeys[] = [{ keys: parsed, build }]
  if (keysFile !== undefined) sources.push(readKeysFile(keysFile, build))
  const unique = new Uniqueness()
  return sources.flatMap((source) =>
    source.keys.map((entry, i) => {
      const key = toKey(entry, [...KEYS, i], source.build)
      unique.check(key, [...KEYS, i], source.build)
      return key
    }),
  )
}
