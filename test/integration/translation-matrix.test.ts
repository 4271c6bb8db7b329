// Every conversation, from every client dialect, to every backend wire, whole and streamed: the same meaning comes out as
// when the backend is asked directly. The backend is the simulator, which writes all wires by itself.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ChatRequest } from '../../src/contracts/canonical.ts'
import type { Dialect, Feature } from '../../src/contracts/dialect.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { featuresIn } from '../../src/protocol/canonical/features.ts'
import { missingFor, negotiate } from '../../src/protocol/canonical/negotiate.ts'
import { clientDialect } from '../../src/protocol/client-dialects.ts'
import { WIRES } from '../../src/protocol/operations.ts'
import { wireOf } from '../../src/protocol/wires.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { CONVERSATIONS, type Conversation } from '../support/conversations.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { CLIENTS, said, saying } from '../support/matrix.ts'
import { BASES, bodyIn, MODELS, post, type Meaning } from '../support/translation.ts'

/** Wires of chat models that the simulator speaks. */
const BACKENDS = WIRES.filter((wire) => wire in BASES)

let sim: Sim
let origin = ''
let gateway: Gateway

beforeAll(async () => {
  sim = await startSim({ port: 0 })
  origin = `http://127.0.0.1:${sim.port}`
  const provider = (wire: Dialect): string =>
    `  ${wire.replace('.', '_')}: { type: openai_compatible, base_url: "${origin}${BASES[wire]}", operations: [passthrough], wire: ${wire}, class: mesh }`
  const model = (wire: Dialect): string => `  via-${wire}: ${wire.replace('.', '_')}/${MODELS[wire] ?? 'sim-1'}`
  gateway = await startGateway(
    `providers:\n${BACKENDS.map(provider).join('\n')}\nmodels:\n${BACKENDS.map(model).join('\n')}\n`,
  )
}, 60_000)

afterAll(async () => {
  await gateway.stop()
  await sim.close()
})

/** '=' as asked directly, both ways; 'r' refused, as the tables say; '.' the client has no word for it. */
type Cell = '=' | 'r' | '.'
const cells = new Map<string, Cell>()

/** The tables say that the wire cannot carry it, or the wire itself when it sees the details. */
function refuses(backend: Dialect, request: ChatRequest): boolean {
  const wire = wireOf(backend)
  const features = featuresIn(request)
  if (missingFor(features, wire, 'refuse') !== null) return true
  try {
    bodyIn(backend, negotiate(request, features, wire, 'refuse').request, 'm', false)
    return false
  } catch (error) {
    if (GatewayError.is(error) && error.code === 'unsupported_parameter') return true
    throw error
  }
}

const direct = new Map<string, Meaning>()

/** The simulator's own word, by its first dialect. */
async function asked({ name, request }: Conversation): Promise<Meaning> {
  const known = direct.get(name)
  if (known !== undefined) return known
  const { meaning } = await post(origin, 'openai.chat', bodyIn('openai.chat', request, 'sim-1', false), {
    model: 'sim-1',
    stream: false,
  })
  direct.set(name, meaning)
  return meaning
}

/** What must be the same on all ways. Ids are the wires' own; a stop sequence is not told by all. */
const essence = (meaning: Meaning) => ({
  text: meaning.text,
  calls: meaning.calls.map(({ name, arguments: args }) => [name, JSON.parse(args || '{}') as unknown]),
  finish: meaning.finish === 'stop_sequence' ? 'stop' : meaning.finish,
  outputTokens: meaning.usage?.outputTokens,
  inputTokens: meaning.usage?.inputTokens,
})

/** Where one of these is only nearly the same on the way, other tokens are counted for the same meaning. */
const COUNTED: readonly Feature[] = [
  'reasoning_effort',
  'reasoning_budget',
  'tool_choice',
  'tool_choice_named',
  'single_tool_call',
  'json_schema',
]

const countsAlike = (client: Dialect, backend: Dialect, request: ChatRequest): boolean => {
  const { speaks } = clientDialect(client)
  const { carries } = wireOf(backend)
  const used = featuresIn(request)
  return !COUNTED.some((feature) => used.has(feature) && (speaks[feature] !== 'yes' || carries[feature] !== 'yes'))
}

/** A server of text generation: turns are not told apart but by words. */
const tellsOneText = (backend: Dialect): boolean => wireOf(backend).carries.tools === 'no'

function expectSame(
  [client, backend]: readonly [Dialect, Dialect],
  { request }: Conversation,
  heard: Meaning,
  meant: Meaning,
): void {
  const { json_object: anyJson } = wireOf(backend).carries
  if (request.format?.type === 'json' && anyJson !== 'yes') {
    // The question is another one there: a tool that takes any object. An object must come of it, and no call.
    expect(JSON.parse(heard.text)).toBeTypeOf('object')
    expect(essence(heard)).toMatchObject({ calls: [], finish: 'stop' })
  } else if (tellsOneText(backend) && (request.messages.length > 1 || request.messages[0]!.parts.length > 1)) {
    // One prompt of all turns, in some template's words: the simulator answers that prompt.
    expect(heard.text).not.toBe('')
    expect(['stop', 'length']).toContain(essence(heard).finish)
    expect(heard.usage?.inputTokens).toBeGreaterThan(0)
  } else if (countsAlike(client, backend, request)) expect(essence(heard)).toEqual(essence(meant))
  else {
    const { text, calls, finish } = essence(meant)
    expect(essence(heard)).toMatchObject({ text, calls, finish })
    expect(heard.usage?.inputTokens).toBeGreaterThan(0)
    expect(heard.usage?.outputTokens).toBeGreaterThan(0)
  }
}

for (const client of CLIENTS)
  for (const backend of BACKENDS)
    test(`${client} to ${backend}`, async () => {
      for (const conversation of CONVERSATIONS) {
        const { name } = conversation
        const request = said(client, conversation.request)
        const key = `${name}|${client}|${backend}`
        if (request === null) {
          cells.set(key, '.')
          continue
        }
        const refused = refuses(backend, request)
        for (const stream of [false, true]) {
          const model = `via-${backend}`
          const answer = await post(gateway.url, client, bodyIn(client, request, model, stream), { model, stream })
          const meant = await asked(conversation)
          saying(`${name}, ${stream ? 'streamed' : 'whole'}: ${answer.raw.slice(0, 600)}`, () => {
            expect(answer.status).toBe(refused ? 400 : 200)
            if (refused) expect(JSON.stringify(answer.error)).toMatch(/of this model|of the model/)
            else expectSame([client, backend], conversation, answer.meaning, meant)
          })
        }
        cells.set(key, refused ? 'r' : '=')
      }
    }, 60_000)

test('every cell is known', () => {
  const head = BACKENDS.map((wire) => wire.slice(0, 12).padEnd(13)).join('')
  const lines = CLIENTS.flatMap((client) => [
    `\n${client.padEnd(26)}${head}`,
    ...CONVERSATIONS.map(
      ({ name }) =>
        `${name.padEnd(26)}${BACKENDS.map((backend) => (cells.get(`${name}|${client}|${backend}`) ?? '?').padEnd(13)).join('')}`,
    ),
  ])
  process.stdout.write(
    `${lines.join('\n')}\n\n= the same meaning, whole and streamed   r refused with its reason   . the client has no word for it\n`,
  )
  expect([...cells.values()]).toHaveLength(CLIENTS.length * BACKENDS.length * CONVERSATIONS.length)
  expect([...cells.values()].filter((cell) => cell === '=').length).toBeGreaterThan(cells.size / 2)
})
