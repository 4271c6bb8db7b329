/** Builds a Call without a socket, for the tests of the operations. */
import type { Answer, StreamAnswer } from './answer.ts'
import type { Call, SimState } from './call.ts'
import type { Json, JsonObject } from './json.ts'
import { isObject, parseJson } from './json.ts'
import { answerCall } from './routes.ts'
import { createPrefixCache } from './tokens.ts'

export const stateFixture = (changes: Partial<SimState> = {}): SimState => {
  let next = 0
  return {
    seed: 1,
    organisation: 'org-a',
    strictModels: false,
    prefixes: createPrefixCache(64),
    files: new Map(),
    responses: new Map(),
    items: new Map(),
    nextId: (length) => String(next++).padStart(length, '0'),
    ...changes,
  }
}

export const callFixture = (path: string, body: JsonObject, state: SimState = stateFixture()): Call => ({
  state,
  method: 'POST',
  path,
  query: new URLSearchParams(),
  headers: { 'content-type': 'application/json' },
  raw: Buffer.from(JSON.stringify(body)),
  body: { model: 'sim-chat', ...body },
  model: typeof body['model'] === 'string' ? body['model'] : 'sim-chat',
  suffix: '',
})

export const post = (path: string, body: JsonObject, state?: SimState): Answer =>
  answerCall(callFixture(path, body, state))

/** The JSON body of an answer that must be one. */
export const jsonOf = (answer: Answer): JsonObject => {
  if (answer.kind !== 'json' || !isObject(answer.body)) throw new Error(`not a JSON object: ${answer.kind}`)
  return answer.body
}

export const streamOf = (answer: Answer): StreamAnswer => {
  if (answer.kind !== 'stream') throw new Error(`not a stream: ${answer.kind}`)
  return answer
}

/** The parsed data of all events, without `[DONE]`. */
export const eventsOf = (answer: Answer): JsonObject[] =>
  streamOf(answer)
    .events.filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => parseJson(data))
    .filter(isObject)

/** Reads `a.0.b`. */
export const at = (value: Json | undefined, path: string): Json | undefined =>
  path
    .split('.')
    .reduce<Json | undefined>(
      (node, step) => (Array.isArray(node) ? node.at(Number(step)) : isObject(node) ? node[step] : undefined),
      value,
    )
