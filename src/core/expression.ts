/**
 * Conditions in CEL (Common Expression Language), compiled when the configuration is loaded.
 * Spec: github.com/google/cel-spec. Numbers of a JSON body are doubles; compare them with either kind of literal.
 */
import { Environment } from '@marcbachmann/cel-js'
import type { ASTNode } from '@marcbachmann/cel-js'

/** What a condition can look at. */
export interface ExpressionVariables {
  /** The parsed body; may be left out when `needsBody` is false. */
  readonly request?: unknown
  /** The body's `metadata`; may be left out when `needsBody` is false. */
  readonly metadata?: unknown
  /** Lower-case names; several lines of one name joined with `, `. */
  readonly headers: Readonly<Record<string, string>>
  /** The name that the client sent. */
  readonly model: string
  readonly operation: string
  readonly stream: boolean
  /** `Principal.variables`; left out = nobody is known. */
  readonly principal?: Readonly<Record<string, unknown>>
  /** server, method, name and tool of a call of the MCP endpoint; left out or empty = it is none. */
  readonly mcp?: object
}

/** What an expression must be given. */
interface Needs {
  readonly source: string
  /** Mentions `request` or `metadata`: without it the body need not be parsed. */
  readonly needsBody: boolean
  /** Mentions `principal`: without it who calls makes no difference. */
  readonly needsPrincipal: boolean
}

export interface Expression extends Needs {
  /**
   * True only when the condition holds. Never throws: a field that is missing, a type that does not fit or a division
   * by zero makes it false and is reported to `onError`. As CEL demands, `missing || true` is true all the same.
   */
  evaluate: (variables: ExpressionVariables) => boolean
}

/** An expression whose result is text, such as what tells the counters of a limit apart. */
export interface ValueExpression extends Needs {
  /**
   * A string as it is, a number or boolean as its text. Never throws: null when the expression fails or gives anything
   * else (null, a list, a map), with the cause for `onError`.
   */
  evaluate: (variables: ExpressionVariables) => string | null
}

/** `offset` counts characters of the source from 0. */
type CompileFault = { readonly ok: false; readonly message: string; readonly offset: number }

export type CompileResult = { readonly ok: true; readonly expression: Expression } | CompileFault

export type CompileValueResult = { readonly ok: true; readonly expression: ValueExpression } | CompileFault

export interface CompileOptions {
  /** Called for each evaluation that ended in an error: count it, and log the message at debug level at most. */
  readonly onError?: (message: string) => void
}

const environment = new Environment({
  limits: { maxAstNodes: 2000, maxDepth: 60, maxListElements: 1000, maxMapEntries: 100, maxCallArguments: 16 },
})
  .registerVariable('request', 'map')
  .registerVariable('metadata', 'map')
  .registerVariable('headers', 'map<string, string>')
  .registerVariable('model', 'string')
  .registerVariable('operation', 'string')
  .registerVariable('stream', 'bool')
  .registerVariable('principal', 'map')
  .registerVariable('mcp', 'map')

const EMPTY: Readonly<Record<string, never>> = Object.freeze({})

interface Fault {
  readonly message: string
  readonly offset: number
}

const isNode = (value: unknown): value is ASTNode =>
  typeof value === 'object' && value !== null && 'op' in value && 'args' in value

/** Every node of the tree, parents first. */
const nodesOf = (root: ASTNode): readonly ASTNode[] => {
  const found: ASTNode[] = []
  const stack: unknown[] = [root]
  while (stack.length > 0) {
    const item = stack.pop()
    if (Array.isArray(item)) stack.push(...(item as unknown[]))
    else if (isNode(item)) {
      found.push(item)
      stack.push(item.args)
    }
  }
  return found
}

/** At most this many `*`, `+` or `{n,}`: each one more is another power of the text's length in the worst case. */
const MAX_UNBOUNDED = 2

const isRegExp = (pattern: string): boolean => {
  try {
    return new RegExp(pattern, 'u').source !== ''
  } catch {
    return false
  }
}

/**
 * CEL promises linear time (RE2); JavaScript's engine backtracks. So a pattern must be a literal, must not repeat a
 * group that itself repeats or branches (exponential time), and may hold few unbounded repetitions (polynomial time).
 */
const patternFault = (pattern: string): string | undefined => {
  if (!isRegExp(pattern)) return 'is not a regular expression'
  if (/\\[1-9k]|\(\?[=!<]/.test(pattern)) return 'uses a back reference or look-around, which CEL does not have'
  const bare = pattern.replaceAll(/\\./gu, 'x').replaceAll(/\[[^\]]*\]/gu, 'x')
  const groups: boolean[] = []
  let risky = false
  for (let i = 0; i < bare.length; i++) {
    const repeats = /^[*+?]|^\{\d/.test(bare.slice(i, i + 2)) && bare[i - 1] !== '('
    if (bare[i] === '(') {
      groups.push(risky)
      risky = false
    } else if (bare[i] === ')') {
      const inner: boolean = risky
      if (inner && /^[*+{]/.test(bare.slice(i + 1, i + 2))) return 'repeats a group that itself repeats or branches'
      risky = inner || groups.pop() === true
    } else if (repeats || bare[i] === '|') risky = true
  }
  const unbounded = bare.match(/[*+]|\{\d+,\}/gu)?.length ?? 0
  return unbounded > MAX_UNBOUNDED ? `has more than ${MAX_UNBOUNDED} unbounded repetitions` : undefined
}

const findPatternFault = (nodes: readonly ASTNode[]): Fault | undefined => {
  for (const node of nodes) {
    if (node.op !== 'rcall' || node.args[0] !== 'matches') continue
    const argument = node.args[2][0]
    const pattern = argument?.op === 'value' ? argument.args : undefined
    const fault = typeof pattern === 'string' ? patternFault(pattern) : 'must be a literal string'
    if (fault !== undefined) {
      return { message: `the pattern of matches() ${fault}`, offset: argument?.start ?? node.start }
    }
  }
  return undefined
}

/** The library's messages carry the source line below the first one. */
const faultOf = (error: unknown): Fault => {
  const text = error instanceof Error ? error.message : String(error)
  const range = error instanceof Error && 'range' in error ? (error.range as { start?: number } | undefined) : undefined
  return { message: text.split('\n')[0] ?? text, offset: range?.start ?? 0 }
}

interface Program extends Needs {
  readonly run: (variables: ExpressionVariables) => unknown
}

/** Parses and type-checks; the type of the result must be one of `types`, or one that only a request tells. */
const compileProgram = (
  source: string,
  types: readonly string[],
  wanted: string,
): { readonly ok: true; readonly program: Program } | CompileFault => {
  let program: ReturnType<Environment['parse']>
  try {
    program = environment.parse(source)
    const check = program.check()
    if (!check.valid) return { ok: false, ...faultOf(check.error) }
    if (check.type !== 'dyn' && !types.includes(check.type ?? '')) {
      return { ok: false, message: `must be ${wanted}, but is a ${check.type ?? 'value'}`, offset: 0 }
    }
  } catch (error) {
    return { ok: false, ...faultOf(error) }
  }
  const nodes = nodesOf(program.ast)
  const fault = findPatternFault(nodes)
  if (fault !== undefined) return { ok: false, ...fault }
  const names = new Set(nodes.map((node) => (node.op === 'id' ? node.args : '')))
  const run = (variables: ExpressionVariables): unknown =>
    program({
      ...variables,
      request: variables.request ?? EMPTY,
      metadata: variables.metadata ?? EMPTY,
      principal: variables.principal ?? EMPTY,
      mcp: variables.mcp ?? EMPTY,
    })
  const needsBody = names.has('request') || names.has('metadata')
  return { ok: true, program: { source, needsBody, needsPrincipal: names.has('principal'), run } }
}

/** Parses and type-checks a condition; the result must be a boolean, or a field whose type only a request tells. */
export const compileExpression = (source: string, options: CompileOptions = {}): CompileResult => {
  const compiled = compileProgram(source, ['bool'], 'true or false')
  if (!compiled.ok) return compiled
  const { run, ...needs } = compiled.program
  const { onError } = options
  const evaluate = (variables: ExpressionVariables): boolean => {
    try {
      const result = run(variables)
      if (typeof result === 'boolean') return result
      onError?.('the condition is neither true nor false')
    } catch (error) {
      onError?.(faultOf(error).message)
    }
    return false
  }
  return { ok: true, expression: { ...needs, evaluate } }
}

const VALUE_TYPES = ['string', 'int', 'uint', 'double', 'bool']

/** Parses and type-checks an expression whose result is one value that has a text. */
export const compileValue = (source: string, options: CompileOptions = {}): CompileValueResult => {
  const compiled = compileProgram(source, VALUE_TYPES, 'a string, a number or a boolean')
  if (!compiled.ok) return compiled
  const { run, ...needs } = compiled.program
  const { onError } = options
  const evaluate = (variables: ExpressionVariables): string | null => {
    try {
      const result = run(variables)
      if (typeof result === 'string') return result
      if (typeof result === 'number' || typeof result === 'bigint' || typeof result === 'boolean') return String(result)
      // Unsigned integers are wrapped by the library.
      if (typeof result === 'object' && result !== null && typeof result.valueOf() === 'bigint') {
        return String(result.valueOf())
      }
      onError?.('the value is neither a string, a number nor a boolean')
    } catch (error) {
      onError?.(faultOf(error).message)
    }
    return null
  }
  return { ok: true, expression: { ...needs, evaluate } }
}
