/** A GenerateContentResponse, whole or in pieces. */
import type { Answer, StreamEvent } from '../answer.ts'
import { logprobsOf, textPieces, think } from '../brain.ts'
import type { Call, Handler } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { Framing } from '../framing.ts'
import { JSON_ARRAY, SSE_CRLF } from '../framing.ts'
import type { Json, JsonObject } from '../json.ts'
import { asObject, isObject, parseJson } from '../json.ts'
import { checkModel } from '../models.ts'
import type { Thought, ToolCall } from '../prompt.ts'
import { seal } from '../seal.ts'
import { tokenize } from '../tokens.ts'
import { wantsBlock, wantsRefusal } from '../triggers.ts'
import type { Use } from '../usage.ts'
import { measurePrompt, totalUse } from '../usage.ts'
import type { Arrived } from '../wire.ts'
import type { GenerateRequest } from './request.ts'
import { readGenerateRequest } from './request.ts'

/** The prompt's count includes what was cached; the candidates' leaves out what was thought. */
const usageBody = (use: Use): JsonObject => ({
  promptTokenCount: use.prompt,
  ...(use.completion > use.reasoning ? { candidatesTokenCount: use.completion - use.reasoning } : {}),
  totalTokenCount: use.prompt + use.completion,
  ...(use.cached > 0 ? { cachedContentTokenCount: use.cached } : {}),
  promptTokensDetails: [{ modality: 'TEXT', tokenCount: use.prompt }],
  ...(use.reasoning > 0 ? { thoughtsTokenCount: use.reasoning } : {}),
})

const argsOf = (call: ToolCall): JsonObject => {
  try {
    return asObject(parseJson(call.input)) ?? {}
  } catch {
    return {}
  }
}

/** Only the first of several calls is signed, and a text at its end. */
const callParts = (call: Call, thought: Thought): JsonObject[] =>
  thought.calls.map((made, index) => {
    const args = argsOf(made)
    const signed = index === 0 && thought.reasoningTokens > 0
    return {
      functionCall: { id: made.id.replace(/^call_/, ''), name: made.name, args },
      ...(signed ? { thoughtSignature: seal(call.state, 'thought', `${made.name}${JSON.stringify(args)}`) } : {}),
    }
  })

const textSignature = (call: Call, thought: Thought): JsonObject =>
  thought.reasoningTokens > 0 && thought.calls.length === 0
    ? { thoughtSignature: seal(call.state, 'thought', 'text') }
    : {}

const FINISH = { stop: 'STOP', length: 'MAX_TOKENS', tool_calls: 'STOP' } as const

const logprobBody = (text: string, top: number): JsonObject => {
  const tokens = logprobsOf(text, top)
  return {
    topCandidates: tokens.map(({ alternatives }) => ({
      candidates: alternatives.map(({ token, logprob }) => ({ token, logProbability: logprob })),
    })),
    chosenCandidates: tokens.map(({ token, logprob }) => ({ token, logProbability: logprob })),
  }
}

const candidateBody = (call: Call, request: GenerateRequest, thought: Thought, index: number): JsonObject => {
  const parts: JsonObject[] = []
  if (request.thoughts && thought.reasoning !== '') parts.push({ text: thought.reasoning, thought: true })
  if (thought.text !== null && thought.text !== '') parts.push({ text: thought.text, ...textSignature(call, thought) })
  parts.push(...callParts(call, thought))
  const content = parts.length === 0 ? { role: 'model' } : { parts, role: 'model' }
  const logprobs =
    request.top === undefined || thought.text === null ? {} : { logprobsResult: logprobBody(thought.text, request.top) }
  return { content, finishReason: FINISH[thought.finish], index, ...logprobs }
}

const candidateEvents = (
  call: Call,
  request: GenerateRequest,
  thought: Thought,
  index: number,
  chunk: Chunk,
): StreamEvent[] => {
  const events: StreamEvent[] = []
  const add = (part: JsonObject, content: boolean, more: JsonObject = {}): void => {
    events.push({ data: chunk({ content: { parts: [part], role: 'model' }, ...more, index }), content })
  }
  if (request.thoughts) for (const text of tokenize(thought.reasoning)) add({ text, thought: true }, false)
  for (const text of textPieces(thought)) {
    const logprobs = request.top === undefined ? {} : { logprobsResult: logprobBody(text, request.top) }
    add({ text }, true, logprobs)
  }
  for (const part of callParts(call, thought)) add(part, true)
  add({ text: '', ...textSignature(call, thought) }, false, { finishReason: FINISH[thought.finish] })
  return events
}

type Chunk = (candidate: JsonObject) => string

interface Made {
  readonly request: GenerateRequest
  readonly thoughts: readonly Thought[]
  readonly use: Use
  /** Beside the candidates. */
  readonly tail: JsonObject
}

const NOT_FOUND = (model: string): ApiError =>
  new ApiError(
    404,
    `models/${model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.`,
  )

export const checkName = (call: Call): void => {
  try {
    checkModel(call.state, call.model)
  } catch {
    throw NOT_FOUND(call.model)
  }
}

const REFUSED: Thought = {
  text: '',
  calls: [],
  finish: 'stop',
  visibleTokens: 0,
  reasoningTokens: 0,
  reasoning: '',
  isJson: false,
}

const make = (call: Call): Made => {
  checkName(call)
  const request = readGenerateRequest(call)
  const { prompt } = request
  const silent = wantsRefusal(prompt) || wantsBlock(prompt)
  const thoughts = Array.from({ length: silent ? 1 : request.candidates }, (_, index) =>
    silent ? REFUSED : think(prompt, call.state.seed, index),
  )
  const use = totalUse(measurePrompt(call.state, prompt), thoughts)
  const responseId = Buffer.from(call.state.nextId(16), 'hex').toString('base64url')
  return { request, thoughts, use, tail: { usageMetadata: usageBody(use), modelVersion: call.model, responseId } }
}

const BLOCKED: JsonObject = { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } }

/** What a prompt gets that is not let through. */
export const blockedAnswer = (model: string, { path, query }: Arrived): Answer => {
  const body: JsonObject = {
    ...BLOCKED,
    usageMetadata: { promptTokenCount: 8, totalTokenCount: 8 },
    modelVersion: model,
    responseId: 'AAAAAAAAAAA',
  }
  if (!path.endsWith(':streamGenerateContent')) return { kind: 'json', body }
  const event = { data: JSON.stringify(body), content: false }
  return {
    kind: 'stream',
    events: [event],
    endEvents: 1,
    framing: framingFor(query),
    contentEvent: () => event,
    errorEvent: () => ({ data: OVERLOADED, content: false }),
  }
}

const framingFor = (query: URLSearchParams): Framing => (query.get('alt') === 'sse' ? SSE_CRLF : JSON_ARRAY)

export const generateContent: Handler = (call): Answer => {
  const { request, thoughts, use, tail } = make(call)
  const refused = wantsRefusal(request.prompt)
  if (wantsBlock(request.prompt)) return { kind: 'json', body: { ...BLOCKED, ...tail }, use }
  const candidates: Json[] = refused
    ? [{ finishReason: 'SAFETY', index: 0 }]
    : thoughts.map((thought, index) => candidateBody(call, request, thought, index))
  return { kind: 'json', body: { candidates, ...tail }, use, payloadKey: 'candidates' }
}

const withoutCandidates = (event: StreamEvent): readonly StreamEvent[] => {
  const value = parseJson(event.data)
  if (!isObject(value)) return [event]
  const { candidates: _, ...rest } = value
  return [{ data: JSON.stringify(rest), content: false }]
}

export const streamGenerateContent: Handler = (call): Answer => {
  const { request, thoughts, use, tail } = make(call)
  const { usageMetadata, ...rest } = tail
  // Counts of the answer come with its end.
  const opening = { usageMetadata: { promptTokenCount: use.prompt, totalTokenCount: use.prompt }, ...rest }
  const chunk: Chunk = (candidate) =>
    JSON.stringify({
      candidates: [candidate],
      ...(candidate['finishReason'] === undefined ? opening : { usageMetadata, ...rest }),
    })
  const only = (body: JsonObject): StreamEvent[] => [{ data: JSON.stringify({ ...body, ...tail }), content: false }]
  const events = wantsBlock(request.prompt)
    ? only(BLOCKED)
    : wantsRefusal(request.prompt)
      ? only({ candidates: [{ finishReason: 'SAFETY', index: 0 }] })
      : thoughts.flatMap((thought, index) => candidateEvents(call, request, thought, index, chunk))
  return {
    kind: 'stream',
    events,
    use,
    endEvents: 1,
    framing: framingFor(call.query),
    contentEvent: (text) => ({
      data: chunk({ content: { parts: [{ text }], role: 'model' }, index: 0 }),
      content: true,
    }),
    errorEvent: () => ({ data: OVERLOADED, content: false }),
    bare: withoutCandidates,
  }
}

const OVERLOADED = JSON.stringify({
  error: { code: 503, message: 'The model is overloaded. Please try again later.', status: 'UNAVAILABLE' },
})

export const countTokens: Handler = (call) => {
  checkName(call)
  const inner = call.body['generateContentRequest'] ?? call.body['generate_content_request']
  const { prompt } = readGenerateRequest(call, inner ?? call.body)
  const { tokens } = measurePrompt(call.state, prompt)
  return {
    kind: 'json',
    body: { totalTokens: tokens, promptTokensDetails: [{ modality: 'TEXT', tokenCount: tokens }] },
  }
}
