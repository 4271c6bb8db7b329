// What backends refuse, and streams that they break off, from every wire to every client: the right status, in the client's
// own words, and never a proper end.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/contracts/canonical.ts'
import type { Dialect } from '../../src/contracts/dialect.ts'
import { WIRES } from '../../src/protocol/operations.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { CONVERSATIONS } from '../support/conversations.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { CLIENTS, saying } from '../support/matrix.ts'
import { BASES, bodyIn, MODELS, pathOf } from '../support/translation.ts'

const BACKENDS = WIRES.filter((wire) => wire in BASES)
const FAULTS = { refused: 'status=400', busy: 'status=429', broken: 'error_after=3;interval=25' } as const
type Kind = keyof typeof FAULTS
const KINDS = Object.keys(FAULTS) as Kind[]

let sim: Sim
let gateway: Gateway

beforeAll(async () => {
  sim = await startSim({ port: 0 })
  const each = <T>(make: (wire: (typeof BACKENDS)[number], kind: Kind) => T): T[] =>
    BACKENDS.flatMap((wire) => KINDS.map((kind) => make(wire, kind)))
  const provider = (wire: Dialect, kind: Kind): string =>
    `  ${kind}_${wire.replace('.', '_')}: { type: openai_compatible, base_url: "http://127.0.0.1:${sim.port}${BASES[wire]}", operations: [passthrough], wire: ${wire}, class: mesh, headers: { x-sim-fault: "${FAULTS[kind]}" } }`
  const model = (wire: Dialect, kind: Kind): string =>
    `  ${kind}-${wire}: ${kind}_${wire.replace('.', '_')}/${MODELS[wire] ?? 'sim-1'}`
  gateway = await startGateway(
    `defaults: { retries: { max_attempts: 1 } }\nproviders:\n${each(provider).join('\n')}\nmodels:\n${each(model).join('\n')}\n`,
  )
})

afterAll(async () => {
  await gateway.stop()
  await sim.close()
})

const { request } = CONVERSATIONS[0]!

async function ask(client: Dialect, model: string, stream: boolean): Promise<{ status: number; text: string }> {
  const response = await fetch(gateway.url + pathOf(client, model, stream), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(bodyIn(client, request, model, stream)),
  })
  return { status: response.status, text: await response.text() }
}

/** The envelope of an error, as each dialect has it (the vendors' SDKs read these fields). */
function expectEnvelope(client: Dialect, body: JsonObject, status: number): void {
  const type = status === 429 ? 'rate_limit_error' : 'invalid_request_error'
  if (client === 'anthropic.messages')
    expect(body).toMatchObject({ type: 'error', error: { type, message: expect.any(String) as string } })
  else if (client === 'gemini.generate')
    expect(body).toMatchObject({
      error: { code: status, status: status === 429 ? 'RESOURCE_EXHAUSTED' : 'INVALID_ARGUMENT' },
    })
  else if (client === 'ollama.chat') expect(body['error']).toBeTypeOf('string')
  else if (client === 'bedrock.converse')
    expect(body).toEqual({ message: expect.any(String) as string, request_id: expect.any(String) as string })
  else if (client === 'cohere.chat')
    expect(body).toEqual({ id: expect.any(String) as string, message: expect.any(String) as string })
  else
    expect(body).toMatchObject({ error: { message: expect.any(String) as string, type: expect.any(String) as string } })
}

/** How a stream says that it failed, and what would say that it is whole. */
const BROKEN: Readonly<Partial<Record<Dialect, readonly [says: RegExp, whole: RegExp]>>> = {
  'openai.chat': [/^data: \{"error":\{/m, /\[DONE\]/],
  'openai.completions': [/^data: \{"error":\{/m, /\[DONE\]/],
  'openai.responses': [/^event: error$/m, /response\.completed/],
  'anthropic.messages': [/^event: error\ndata: \{"type":"error"/m, /message_stop/],
  'gemini.generate': [/^data: \{"error":\{/m, /"finishReason"/],
  'ollama.chat': [/^\{"error":/m, /"done":true/],
  // Frames: their names stand between bytes that are no text.
  'bedrock.converse': [/:exception-type.*modelStreamErrorException/s, /messageStop|metadata/],
  'cohere.chat': [/"type":"message-end".*"finish_reason":"ERROR","error":"[^"]/m, /"finish_reason":"(?!ERROR)/],
}

for (const client of CLIENTS)
  test.each(BACKENDS)(`${client}: %s`, async (backend) => {
    for (const [kind, status] of [
      // What TGI cannot take is 422 with it.
      ['refused', backend === 'tgi.generate' ? 422 : 400],
      ['busy', 429],
    ] as const)
      for (const stream of [false, true]) {
        const answer = await ask(client, `${kind}-${backend}`, stream)
        saying(`${kind}, ${stream ? 'streamed' : 'whole'}: ${answer.text.slice(0, 400)}`, () => {
          expect(answer.status).toBe(status)
          expectEnvelope(client, JSON.parse(answer.text) as JsonObject, status)
        })
      }
    const { status, text } = await ask(client, `broken-${backend}`, true)
    saying(`broken: ${text.slice(-600)}`, () => {
      const [says, whole] = BROKEN[client]!
      expect(status).toBe(200)
      expect(text).toMatch(says)
      expect(text).not.toMatch(whole)
    })
  })
