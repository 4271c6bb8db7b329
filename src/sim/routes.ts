/** Which vendor's dialect a path belongs to, and which operation of it a request means. */
import { anthropic } from './anthropic/wire.ts'
import type { Answer } from './answer.ts'
import type { Call, Handler } from './call.ts'
import { ApiError } from './errors.ts'
import { bedrock } from './bedrock/wire.ts'
import { cohere } from './cohere/wire.ts'
import { gemini } from './gemini/wire.ts'
import { ollama } from './ollama/wire.ts'
import { openAi } from './openai-wire.ts'
import { tgi } from './tgi/wire.ts'
import type { SimWire } from './wire.ts'

/** OpenAI's last: it describes what nobody else knows. */
const WIRES: readonly SimWire[] = [anthropic, gemini, bedrock, ollama, cohere, tgi, openAi]

/** OpenAI's for a path that is nobody's. */
export const wireOf = (path: string): SimWire =>
  // By far the most common one.
  path === '/v1/chat/completions'
    ? openAi
    : (WIRES.find(({ routes }) => routes.some(([pattern]) => pattern.test(path))) ?? openAi)

const choose = (methods: Readonly<Record<string, Handler>>, method: string): Handler => {
  const handler = methods[method]
  if (handler !== undefined) return handler
  const allow = Object.keys(methods).join(', ')
  throw new ApiError(405, `Not allowed to ${method} on this path. (HINT: use ${allow}.)`, { headers: { allow } })
}

/** @throws ApiError 404, 405 and whatever the operation throws. */
export const answerCall = (call: Call, wire: SimWire = wireOf(call.path)): Answer => {
  for (const [pattern, methods] of wire.routes) {
    const match = pattern.exec(call.path)
    if (match !== null) return choose(methods, call.method)(call, ...match.slice(1).map(decodeId))
  }
  throw new ApiError(404, `Invalid URL (${call.method} ${call.path})`, { code: null })
}

const decodeId = (id: string): string => {
  try {
    return decodeURIComponent(id)
  } catch {
    return id
  }
}
