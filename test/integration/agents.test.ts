// Transcripts of coding agents, turn by turn: what a backend signed comes back to it as it was, goes nowhere else, and
// when a backend cannot check it the agent is answered all the same. The simulator checks signatures as the vendors do.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/contracts/canonical.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

/** As two accounts of one vendor: neither can check what the other signed. */
let mine: Sim
let other: Sim
let gateway: Gateway

const MODELS = {
  anthropic: 'claude-opus-4-5',
  gemini: 'gemini-3-pro',
  bedrock: 'anthropic.claude-opus-4-5-20251101-v1:0',
  responses: 'gpt-5-mini',
  chat: 'gpt-4o-mini',
} as const
type Route = keyof typeof MODELS
const ROUTES = Object.keys(MODELS) as Route[]

const providers = (sim: Sim, suffix: string): string => {
  const origin = `http://127.0.0.1:${sim.port}`
  const key = 'api_key: sk-agents, class: mesh'
  return `
  anthropic${suffix}: { type: anthropic, base_url: "${origin}/v1", ${key} }
  gemini${suffix}: { type: gemini, base_url: "${origin}/v1beta", ${key} }
  bedrock${suffix}: { type: bedrock, base_url: "${origin}", ${key} }
  responses${suffix}: { type: openai_compatible, base_url: "${origin}/v1", operations: [responses, passthrough], wire: openai.responses, ${key} }
  chat${suffix}: { type: openai_compatible, base_url: "${origin}/v1", operations: [chat, passthrough], wire: openai.chat, ${key} }`
}

beforeAll(async () => {
  mine = await startSim({ port: 0, seed: 1 })
  other = await startSim({ port: 0, seed: 2 })
  gateway = await startGateway(`providers:${providers(mine, '')}${providers(other, '_other')}
defaults: { retries: { max_attempts: 1 }, unsupported: drop }
`)
}, 60_000)

afterAll(async () => {
  await gateway.stop()
  await mine.close()
  await other.close()
})

const at = (route: Route, where: '' | '_other' = ''): string => `${route}${where}/${MODELS[route]}`

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly raw: string
  readonly body: JsonObject
}

async function send(path: string, body: JsonObject, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const raw = await response.text()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  return {
    status: response.status,
    headers: response.headers,
    raw,
    body: isStream ? {} : (JSON.parse(raw) as JsonObject),
  }
}

const eventsOf = (sse: string): JsonObject[] =>
  [...sse.matchAll(/^data: (\{.*)$/gm)].map((match) => JSON.parse(match[1]!) as JsonObject)

// ── Claude Code ─────────────────────────────────────────────────────────────
type Block = JsonObject & { type: string }
type Turn = { role: 'user' | 'assistant'; content: Block[] }

const BETAS = 'claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27'
const ephemeral = { type: 'ephemeral' } as const

const claudeBody = (model: string, messages: readonly Turn[], stream: boolean): JsonObject => ({
  model,
  max_tokens: 32_000,
  stream,
  thinking: { type: 'enabled', budget_tokens: 4_000 },
  system: [
    { type: 'text', text: 'You are a coding agent.' },
    { type: 'text', text: 'The working directory is /src. Use the tools.', cache_control: ephemeral },
  ],
  tools: [
    {
      name: 'Read',
      description: 'Reads a file',
      input_schema: {
        type: 'object',
        properties: { file_path: { type: 'string' }, limit: { type: 'number' } },
        required: ['file_path'],
        additionalProperties: false,
        $schema: 'http://json-schema.org/draft-07/schema#',
      },
    },
    {
      name: 'Bash',
      description: 'Runs a command',
      input_schema: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
      cache_control: ephemeral,
    },
  ],
  metadata: { user_id: 'user_0123_account__session_4567' },
  context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] },
  messages: messages.map((turn, i) =>
    // The last user turn is marked, as the agent does.
    i === messages.length - 1
      ? {
          ...turn,
          content: turn.content.map((block, j) =>
            j === turn.content.length - 1 ? { ...block, cache_control: ephemeral } : block,
          ),
        }
      : turn,
  ),
})

/** Puts a stream together as the SDK does: blocks byte for byte as they were told. */
function blocksOf(sse: string): Block[] {
  const blocks: Block[] = []
  const inputs = new Map<number, string>()
  for (const event of eventsOf(sse)) {
    const index = event['index'] as number
    if (event['type'] === 'error') throw new Error(sse.slice(-500))
    if (event['type'] === 'content_block_start') blocks[index] = { ...(event['content_block'] as Block) }
    if (event['type'] !== 'content_block_delta') continue
    const delta = event['delta'] as Record<string, string>
    const block = blocks[index]! as Record<string, unknown>
    if (delta['type'] === 'text_delta') block['text'] = `${String(block['text'])}${delta['text']}`
    if (delta['type'] === 'thinking_delta') block['thinking'] = `${String(block['thinking'])}${delta['thinking']}`
    if (delta['type'] === 'signature_delta') block['signature'] = delta['signature']
    if (delta['type'] === 'input_json_delta')
      inputs.set(index, (inputs.get(index) ?? '') + String(delta['partial_json']))
  }
  for (const [index, input] of inputs) blocks[index] = { ...blocks[index]!, input: JSON.parse(input || '{}') }
  return blocks
}

class Claude {
  readonly turns: Turn[] = []
  last: Answer | null = null

  /** One call; the answer joins the transcript. */
  async call(model: string, stream: boolean): Promise<Block[]> {
    const body = claudeBody(model, this.turns, stream)
    const answer = await send('/v1/messages?beta=true', body, {
      'anthropic-beta': BETAS,
      'anthropic-version': '2023-06-01',
    })
    this.last = answer
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.raw}`)
    const content = stream ? blocksOf(answer.raw) : (answer.body['content'] as Block[])
    this.turns.push({ role: 'assistant', content })
    return content
  }

  /** Says something, and answers calls until the model has no more. Resolves with its last words. */
  async say(text: string, model: string, stream: boolean): Promise<string> {
    this.turns.push({ role: 'user', content: [{ type: 'text', text }] })
    for (let round = 0; round < 4; round++) {
      const content = await this.call(model, stream)
      const uses = content.filter(({ type }) => type === 'tool_use')
      if (uses.length === 0)
        return content.map((block) => (block.type === 'text' ? String(block['text']) : '')).join('')
      this.turns.push({
        role: 'user',
        content: uses.map((use, i) => ({
          type: 'tool_result',
          tool_use_id: use['id']!,
          content: [{ type: 'text', text: `result ${i} of ${String(use['name'])}` }],
        })),
      })
    }
    throw new Error('no end of calls')
  }

  get proofs(): Block[] {
    return this.turns.flatMap(({ content }) => content.filter(({ type }) => type.endsWith('thinking')))
  }
}

const SAY = [
  'ALWAYS call Bash with "ls".',
  'What is a heddle?',
  'ALWAYS call Read for README.md and Bash for git status.',
  'Thank you very much.',
  'ALWAYS call Bash with "npm test".',
] as const

describe('Claude Code', () => {
  for (const route of ROUTES)
    test(`ten turns with ${route}`, async () => {
      const agent = new Claude()
      for (const [i, text] of [...SAY, ...SAY].entries()) {
        const words = await agent.say(text, at(route), i % 3 !== 2)
        if (text.startsWith('ALWAYS')) expect(words).toMatch(/result \d of (?:Bash|Read)/)
        expect(agent.last!.headers.get('x-heddle-stripped')).toBeNull()
      }
      expect(agent.turns.length).toBeGreaterThanOrEqual(30)
      if (route !== 'chat') expect(agent.proofs.length).toBeGreaterThan(5)
    })

  test('what was signed comes back to its maker byte for byte', async () => {
    const agent = new Claude()
    for (const text of SAY) await agent.say(text, at('anthropic'), true)
    const sent = JSON.parse(mine.received.at(-1)!.body.toString()) as { messages: Turn[] }
    const back = sent.messages.flatMap(({ content }) => content.filter(({ type }) => type === 'thinking'))
    expect(back.length).toBeGreaterThan(4)
    expect(back).toEqual(agent.proofs.slice(0, back.length))
    expect(mine.received.at(-1)!.headers['anthropic-beta']).toBe(BETAS)
  })

  test('a transcript may go from one vendor to the next and back', async () => {
    const agent = new Claude()
    const way: readonly Route[] = [
      'anthropic',
      'gemini',
      'chat',
      'bedrock',
      'responses',
      'anthropic',
      'gemini',
      'anthropic',
    ]
    for (const [i, route] of way.entries()) {
      await agent.say(SAY[i % 2 === 0 ? 0 : 2], at(route), i % 2 === 0)
      expect([route, agent.last!.headers.get('x-heddle-stripped')]).toEqual([route, null])
      if (i === 0) continue
      // What others have signed stayed away, and the client is told.
      expect(`${route}: ${agent.last!.headers.get('x-heddle-dropped') ?? ''}`).toContain('messages.reasoning')
      expect(mine.received.at(-1)!.body.toString()).not.toMatch(/hdl[12]\./)
    }
  })

  for (const route of ['anthropic', 'bedrock', 'gemini', 'responses'] as const)
    test(`another account of ${route} answers without what it cannot check`, async () => {
      for (const stream of [false, true]) {
        const agent = new Claude()
        await agent.say(SAY[0], at(route), stream)
        expect(agent.proofs.length).toBeGreaterThan(0)
        await agent.say('What is a heddle?', at(route, '_other'), stream)
        expect(agent.last!.headers.get('x-heddle-stripped')).toBe('reasoning')
        expect(agent.last!.headers.get('x-heddle-attempts')).toBe('2')
      }
    })

  test('also in the middle of calls', async () => {
    const agent = new Claude()
    agent.turns.push({ role: 'user', content: [{ type: 'text', text: SAY[0] }] })
    const [use] = (await agent.call(at('anthropic'), true)).filter(({ type }) => type === 'tool_use')
    const content = [{ type: 'tool_result', tool_use_id: use!['id']!, content: 'the result' }]
    agent.turns.push({ role: 'user', content })
    expect(JSON.stringify(await agent.call(at('anthropic', '_other'), true))).toContain('the result')
    expect(agent.last!.headers.get('x-heddle-stripped')).toBe('reasoning')
  })

  test('what the client itself has altered is tried once more, and no oftener', async () => {
    const before = mine.received.length
    const turns: Turn[] = [
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'Invalid `signature` in `thinking` block' }] },
      {
        role: 'user',
        content: [{ type: 'image', source: { type: 'base64', media_type: 'image/tiff', data: 'AA==' } }],
      },
    ]
    const answer = await send('/v1/messages', claudeBody(at('anthropic'), turns, false))
    expect(answer.status).toBe(400)
    expect(mine.received.length - before).toBe(1)
  })
})

// ── Codex ───────────────────────────────────────────────────────────────────
const codexBody = (model: string, input: readonly JsonObject[], stream: boolean): JsonObject => ({
  model,
  instructions: 'You are a coding agent. Use the tools.',
  input: [...input],
  tools: [
    {
      type: 'function',
      name: 'shell',
      description: 'Runs a command',
      strict: false,
      parameters: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
    },
    {
      type: 'custom',
      name: 'apply_patch',
      description: 'Edits files',
      format: { type: 'grammar', syntax: 'lark', definition: 'start: "*** Begin Patch" /.+/' },
    },
  ],
  tool_choice: 'auto',
  parallel_tool_calls: true,
  reasoning: { effort: 'medium', summary: 'auto' },
  store: false,
  stream,
  include: ['reasoning.encrypted_content'],
  prompt_cache_key: '0193-agent',
  text: { verbosity: 'low' },
})

class Codex {
  readonly input: JsonObject[] = [
    { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'Sandbox: read only.' }] },
  ]
  last: Answer | null = null

  async call(model: string, stream: boolean): Promise<JsonObject[]> {
    const answer = await send('/v1/responses', codexBody(model, this.input, stream))
    this.last = answer
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.raw}`)
    const done = stream ? eventsOf(answer.raw).filter(({ type }) => type === 'response.output_item.done') : []
    if (stream && eventsOf(answer.raw).at(-1)?.['type'] !== 'response.completed')
      throw new Error(answer.raw.slice(-500))
    const output = stream ? done.map(({ item }) => item as JsonObject) : (answer.body['output'] as JsonObject[])
    // As it does: what was not kept has no id to be found by.
    this.input.push(...output.map((item) => (item['type'] === 'reasoning' ? item : withoutId(item))))
    return output
  }

  async say(text: string, model: string, stream: boolean): Promise<string> {
    this.input.push({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] })
    for (let round = 0; round < 4; round++) {
      const output = await this.call(model, stream)
      const calls = output.filter(({ type }) => type === 'function_call' || type === 'custom_tool_call')
      if (calls.length === 0) return JSON.stringify(output)
      for (const [i, call] of calls.entries())
        this.input.push({
          type: `${String(call['type'])}_output`,
          call_id: call['call_id']!,
          output: `result ${i} of ${String(call['name'])}`,
        })
    }
    throw new Error('no end of calls')
  }

  get proofs(): JsonObject[] {
    return this.input.filter((item) => typeof item['encrypted_content'] === 'string')
  }
}

const withoutId = ({ id: _id, ...item }: JsonObject): JsonObject => item

const ASK = [
  'ALWAYS call shell with "ls".',
  'What is a heddle?',
  'ALWAYS call shell for "git status" and apply_patch for README.md.',
  'Thank you very much.',
  'ALWAYS call apply_patch for a.ts.',
] as const

describe('Codex', () => {
  for (const route of ROUTES)
    test(`ten turns with ${route}`, async () => {
      const agent = new Codex()
      for (const [i, text] of [...ASK, ...ASK].entries()) {
        const words = await agent.say(text, at(route), i % 3 !== 2)
        if (text.startsWith('ALWAYS')) expect(words).toMatch(/result \d of (?:shell|apply_patch)/)
        expect(agent.last!.headers.get('x-heddle-stripped')).toBeNull()
      }
      expect(agent.input.filter(({ type }) => type === 'custom_tool_call').length).toBeGreaterThanOrEqual(4)
      if (route !== 'chat') expect(agent.proofs.length).toBeGreaterThan(5)
    })

  test('encrypted reasoning comes back to its maker byte for byte', async () => {
    const agent = new Codex()
    for (const text of ASK) await agent.say(text, at('responses'), true)
    const sent = JSON.parse(mine.received.at(-1)!.body.toString()) as { input: JsonObject[] }
    const back = sent.input.filter(({ type }) => type === 'reasoning')
    expect(back.length).toBeGreaterThan(4)
    expect(back).toEqual(agent.proofs.slice(0, back.length))
  })

  test('a transcript may go from one vendor to the next and back', async () => {
    const agent = new Codex()
    const way: readonly Route[] = ['responses', 'anthropic', 'gemini', 'chat', 'responses', 'bedrock', 'responses']
    for (const [i, route] of way.entries()) {
      await agent.say(ASK[i % 2 === 0 ? 0 : 2], at(route), i % 2 === 0)
      expect([route, agent.last!.headers.get('x-heddle-stripped')]).toEqual([route, null])
      if (i === 0) continue
      expect(`${route}: ${agent.last!.headers.get('x-heddle-dropped') ?? ''}`).toContain('messages.reasoning')
      expect(mine.received.at(-1)!.body.toString()).not.toMatch(/hdl[12]\./)
    }
  })

  for (const route of ['responses', 'anthropic', 'bedrock', 'gemini'] as const)
    test(`another account of ${route} answers without what it cannot check`, async () => {
      for (const stream of [false, true]) {
        const agent = new Codex()
        await agent.say(ASK[0], at(route), stream)
        expect(agent.proofs.length).toBeGreaterThan(0)
        await agent.say('What is a heddle?', at(route, '_other'), stream)
        expect(agent.last!.headers.get('x-heddle-stripped')).toBe('reasoning')
        expect(agent.last!.headers.get('x-heddle-attempts')).toBe('2')
      }
    })
})

describe('Gemini CLI', () => {
  test('another account answers without signatures that it cannot check', async () => {
    const declarations = [
      {
        name: 'shell',
        parametersJsonSchema: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
      },
    ]
    const ask = (where: '' | '_other', contents: JsonObject[]): Promise<Answer> =>
      send(`/v1beta/models/${at('gemini', where)}:generateContent`, {
        contents,
        tools: [{ functionDeclarations: declarations }],
      })
    const contents: JsonObject[] = [{ role: 'user', parts: [{ text: ASK[0] }] }]
    const first = await ask('', contents)
    const [candidate] = first.body['candidates'] as JsonObject[]
    const made = candidate!['content'] as { parts: JsonObject[] }
    const call = made.parts.find((part) => part['functionCall'] !== undefined)!['functionCall'] as JsonObject
    const response = {
      response: { output: 'the result' },
      name: call['name']!,
      ...(call['id'] === undefined ? {} : { id: call['id'] }),
    }
    contents.push(made, { role: 'user', parts: [{ functionResponse: response }] })
    expect((await ask('', contents)).headers.get('x-heddle-stripped')).toBeNull()
    const second = await ask('_other', contents)
    expect(second.raw).toContain('the result')
    expect(second.headers.get('x-heddle-stripped')).toBe('reasoning')
  })
})
