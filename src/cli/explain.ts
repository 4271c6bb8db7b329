import { resolve } from 'node:path'
import { loadConfig } from '../config/index.ts'
import type { HeddleConfig, Operation } from '../contracts/config.ts'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'
import { OPERATION_NAMES } from '../protocol/operations.ts'
import { EXIT, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { ExplainRequest, Explanation } from '../pipeline/explain.ts'
import { findConfig } from './find-config.ts'
import type { Io } from './io.ts'

/** What is printed: anything that JSON can hold; `text` is the form for people. */
type Printable = Pick<Explanation, 'text'>

export type Explain = (config: HeddleConfig, input: ExplainRequest) => Printable | Promise<Printable>

/** The fields that only one operation has tell it; what has none of them is a chat. */
export const guessOperation = (body: Readonly<Record<string, unknown>>): Operation => {
  if ('messages' in body) return 'chat'
  if ('prompt' in body) return 'completions'
  if ('input' in body) return 'dimensions' in body || 'encoding_format' in body ? 'embeddings' : 'responses'
  return 'chat'
}

const parseHeader = (text: string | undefined): Readonly<Record<string, string>> => {
  if (text === undefined) return {}
  const colon = text.indexOf(':')
  if (colon < 1) throw new UsageError('`--header` must be NAME:VALUE')
  return { [text.slice(0, colon).trim().toLowerCase()]: text.slice(colon + 1).trim() }
}

const parseOperation = (text: string | undefined): Operation | undefined => {
  const operation = OPERATION_NAMES.find((name) => name === text)
  if (text !== undefined && operation === undefined)
    throw new UsageError(`\`--operation\` must be one of ${OPERATION_NAMES.join(', ')}`)
  return operation
}

const readBody = (path: string, io: Io): Readonly<Record<string, unknown>> => {
  let body: unknown
  try {
    body = JSON.parse(io.read(path === '-' ? path : resolve(io.cwd, path)))
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read'
    throw new UsageError(`${path} ${reason}`)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new UsageError(`${path} must hold a JSON object`)
  return body as Readonly<Record<string, unknown>>
}

/** `heddle explain`: loads the configuration and the request, and prints what the pipeline says about them. */
export const explainCommand = async (args: ParsedArgs, io: Io, explain: Explain): Promise<number> => {
  const file = args.positional[0]
  if (file === undefined) throw new UsageError('needs a file with a request, or `-`')
  const spec = COMMANDS.explain
  const operation = parseOperation(textFlag(spec, args, 'operation', io.env))
  const headers = parseHeader(textFlag(spec, args, 'header', io.env))
  const key = textFlag(spec, args, 'key', io.env)
  const body = readBody(file, io)
  const source = findConfig(textFlag(spec, args, 'config', io.env), io)
  const { config } = loadConfig(source === null ? null : resolve(io.cwd, source), {
    presets: PRESETS,
    facts: modelFacts,
    prices: modelPrices,
    env: io.env,
  })
  const explanation = await explain(config, {
    operation: operation ?? guessOperation(body),
    body,
    headers,
    ...(key === undefined ? {} : { key }),
  })
  io.out(args.flags.has('json') ? `${JSON.stringify(explanation, null, 2)}\n` : `${explanation.text.trimEnd()}\n`)
  return EXIT.ok
}
