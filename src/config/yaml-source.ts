import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document, Node, Pair, YAMLError } from 'yaml'
import { interpolate } from './interpolate.ts'
import type { SecretSource } from './interpolate.ts'
import { formatPath } from './problem.ts'
import type { Path, Problem } from './problem.ts'

export const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_DEPTH = 32
/** Nodes after aliases are expanded: bounds alias bombs without forbidding anchors. */
const MAX_NODES = 50_000
const MAX_PROBLEMS = 100

interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

interface Entry {
  readonly key: Place
  readonly value: Place
  /** The text as written, of a string that held `${...}`: shown instead of what it became. */
  readonly raw?: string
  /** Nothing but one `${...}`: may stand where a number or a boolean is wanted. */
  readonly retypable?: boolean
}

export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain }

/** What is known about places and origins of the merged configuration. */
export class SourceMap {
  readonly #entries = new Map<string, Entry>()
  readonly #fallbackFile: string
  /** Files that `${file:..}` named, absolute, whether readable or not. */
  readonly secretFiles = new Set<string>()

  constructor(fallbackFile: string) {
    this.#fallbackFile = fallbackFile
  }

  set(path: Path, entry: Entry): void {
    this.#entries.set(JSON.stringify(path), entry)
  }

  get(path: Path): Entry | undefined {
    return this.#entries.get(JSON.stringify(path))
  }

  /** Place of the key (or list item) at `path`, or of its nearest ancestor that is in a file. */
  problem(path: Path, message: string, at: 'key' | 'value' = 'value'): Problem {
    for (let length = path.length; length >= 0; length--) {
      const entry = this.get(path.slice(0, length))
      if (entry === undefined) continue
      const place = at === 'key' || length < path.length ? entry.key : entry.value
      return { ...place, path: formatPath(path), message }
    }
    return { file: this.#fallbackFile, line: 0, column: 0, path: formatPath(path), message }
  }

  /** A value for a message: as written when it held `${...}`, else quoted and cut. */
  show(path: Path, value: unknown): string {
    const text = this.get(path)?.raw ?? String(value)
    return `\`${text.length > 80 ? `${text.slice(0, 77)}...` : text}\``
  }

  /** Paths of scalars that were nothing but one `${...}`. */
  retypable(): readonly Path[] {
    return [...this.#entries].filter(([, entry]) => entry.retypable === true).map(([key]) => JSON.parse(key) as Path)
  }

  /** Adds what another file says; where both speak of one path, the first stays. */
  absorb(other: SourceMap): void {
    for (const [key, entry] of other.#entries) if (!this.#entries.has(key)) this.#entries.set(key, entry)
    for (const file of other.secretFiles) this.secretFiles.add(file)
  }
}

export interface ReadResult {
  readonly value: Plain
  readonly problems: readonly Problem[]
}

const WHOLE = /^\$\{[^}]*\}$/

class Walker {
  readonly problems: Problem[] = []
  readonly #doc: Document
  readonly #file: string
  readonly #baseDir: string
  readonly #lines: LineCounter
  readonly #map: SourceMap
  readonly #secrets: SecretSource
  #nodes = 0
  #tooDeep = false

  constructor(doc: Document, file: string, baseDir: string, lines: LineCounter, map: SourceMap, secrets: SecretSource) {
    this.#doc = doc
    this.#file = file
    this.#baseDir = baseDir
    this.#lines = lines
    this.#map = map
    this.#secrets = secrets
  }

  #place(node: Node | null | undefined): Place {
    const { line, col } = this.#lines.linePos(node?.range?.[0] ?? 0)
    return { file: this.#file, line: Math.max(1, line), column: Math.max(1, col) }
  }

  fail(node: Node | null | undefined, path: Path, message: string): null {
    if (this.problems.length < MAX_PROBLEMS) {
      this.problems.push({ ...this.#place(node), path: formatPath(path), message })
    }
    return null
  }

  walk(node: Node | null | undefined, path: Path, key: Node | null | undefined): Plain {
    this.#nodes += 1
    if (this.#nodes > MAX_NODES) {
      if (this.#nodes === MAX_NODES + 1) this.fail(node, path, `more than ${MAX_NODES} values, aliases expanded`)
      return null
    }
    if (path.length > MAX_DEPTH) {
      if (!this.#tooDeep) {
        this.fail(node, path.slice(0, 2), `nested more than ${MAX_DEPTH} deep, or an alias inside itself`)
      }
      this.#tooDeep = true
      return null
    }
    const entry: Entry = { key: this.#place(key ?? node), value: this.#place(node ?? key) }
    this.#map.set(path, entry)
    const target = isAlias(node) ? node.resolve(this.#doc) : node
    if (target === null || target === undefined) return isAlias(node) ? this.fail(node, path, 'unknown anchor') : null
    if (isScalar(target)) return this.#scalar(target, path, entry)
    if (isSeq(target)) return target.items.map((item, i) => this.walk(item as Node, [...path, i], item as Node))
    if (isMap(target)) return this.#object(target.items as Pair<Node, Node>[], path)
    return this.fail(node, path, 'not a map, list or scalar')
  }

  #scalar(node: { readonly value: unknown }, path: Path, entry: Entry): Plain {
    const { value } = node
    if (typeof value === 'string') {
      if (!value.includes('${')) return value
      const result = interpolate(value, this.#baseDir, this.#secrets)
      for (const file of result.files) this.#map.secretFiles.add(file)
      const retypable = WHOLE.test(value)
      this.#map.set(path, { ...entry, raw: value, retypable })
      if (result.ok) return result.value
      this.problems.push({ ...entry.value, path: formatPath(path), message: result.message })
      // The text stays, so that the schema does not report the same place a second time as a missing value.
      return value
    }
    if (typeof value === 'number' || typeof value === 'boolean' || value === null) return value
    if (typeof value === 'bigint') return Number(value)
    this.problems.push({ ...entry.value, path: formatPath(path), message: 'not a string, number, boolean or null' })
    return null
  }

  #object(items: readonly Pair<Node, Node>[], path: Path): Plain {
    const object: { [key: string]: Plain } = {}
    for (const { key, value } of items) {
      if (!isScalar(key)) {
        this.fail(key, path, 'a key must be a plain string')
        continue
      }
      const name = key.value === null ? '' : (key.source ?? String(key.value))
      if (name === '__proto__') this.fail(key, path, '`__proto__` cannot be a key')
      else if (name === '<<') this.#merge(object, value, path)
      else object[name] = this.walk(value, [...path, name], key)
    }
    return object
  }

  /** YAML 1.1 merge key: what the map itself says wins, wherever `<<` stands in it. */
  #merge(object: { [key: string]: Plain }, node: Node | null, path: Path): void {
    const sources = isSeq(node) ? (node.items as Node[]) : [node]
    for (const source of sources) {
      const target = isAlias(source) ? source.resolve(this.#doc) : source
      if (!isMap(target)) {
        this.fail(source, path, '`<<` takes a map or an alias of one')
        continue
      }
      const missing = (target.items as Pair<Node, Node>[]).filter(
        ({ key }) => !(isScalar(key) && Object.hasOwn(object, String(key.value))),
      )
      Object.assign(object, this.#object(missing, path))
    }
  }
}

/** Own words for messages of the parser that would quote the source, which may hold a secret. */
const syntaxMessage = (error: YAMLError): string => {
  if (error.code === 'DUPLICATE_KEY') return 'this key stands here twice'
  if (error.code === 'UNEXPECTED_TOKEN') return 'YAML syntax: unexpected text here'
  if (error.code === 'TAB_AS_INDENT') return 'YAML syntax: tabs cannot indent; use blanks'
  if (error.code === 'MULTIPLE_DOCS') return 'only one YAML document per file'
  if (error.message.startsWith('Maximum call stack')) return 'nested too deep'
  return `YAML syntax: ${error.message.split('\n')[0]?.replaceAll(/"[^"]*"/g, '"..."') ?? error.code}`
}

/** One per line: the parser stumbles on after a slip, and what it says then misleads. */
const syntaxProblems = (
  errors: readonly YAMLError[],
  text: string,
  lines: LineCounter,
  problem: (line: number, column: number, message: string) => Problem,
): readonly Problem[] => {
  const found = new Map<number, Problem>()
  const source = text.split('\n')
  for (const error of errors.slice(0, MAX_PROBLEMS)) {
    const place = lines.linePos(error.pos[0])
    const line = Math.max(1, place.line)
    if (found.has(line)) continue
    const unquoted = error.code === 'UNEXPECTED_TOKEN' && /(?<!["'][^"']*)\$\{/.test(source[line - 1] ?? '')
    const hint = unquoted ? '; inside `{ }` and `[ ]` put `"${...}"` in quotes' : ''
    found.set(line, problem(line, Math.max(1, place.col), syntaxMessage(error) + hint))
  }
  return [...found.values()]
}

/** Parses one file into plain data and records where everything stands. Never throws for bad text. */
export const readYaml = (
  text: string,
  file: string,
  baseDir: string,
  map: SourceMap,
  secrets: SecretSource,
): ReadResult => {
  const problem = (line: number, column: number, message: string): Problem => ({
    file,
    line,
    column,
    path: '',
    message,
  })
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) return { value: null, problems: [problem(0, 0, 'larger than 4 MiB')] }
  const lines = new LineCounter()
  try {
    const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false })
    if (doc.errors.length > 0) {
      return { value: null, problems: syntaxProblems(doc.errors, text, lines, problem) }
    }
    const walker = new Walker(doc, file, baseDir, lines, map, secrets)
    const value = walker.walk(doc.contents, [], null)
    return { value, problems: walker.problems }
  } catch (error) {
    // The parser recurses: absurd nesting ends as a RangeError, which is the file's fault and no crash of ours.
    const reason = error instanceof RangeError ? 'nested too deep' : 'cannot be parsed as YAML'
    return { value: null, problems: [problem(1, 1, reason)] }
  }
}
