import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { embed } from './brain-embed.ts'
import { isReasoningModel, jsonPieces, logprobsOf, textPieces, think } from './brain.ts'
import type { JsonObject } from './json.ts'
import type { Message, Prompt, ToolSpec } from './prompt.ts'
import { countTokens } from './tokens.ts'

const user = (text: string): Message => ({ role: 'user', text, media: [], calls: [] })

const prompt = (text: string, changes: Partial<Prompt> = {}): Prompt => ({
  model: 'sim-chat',
  messages: [user(text)],
  tools: [],
  toolChoice: { mode: 'auto' },
  parallel: true,
  format: { type: 'text' },
  seed: 0,
  stop: [],
  maxTokens: undefined,
  minTokens: 0,
  effort: undefined,
  suffix: '',
  ...changes,
})

const tool = (name: string, properties: JsonObject = {}, required: string[] = Object.keys(properties)): ToolSpec => ({
  kind: 'function',
  name,
  description: '',
  parameters: { type: 'object', properties, required },
  strict: false,
})

const callsOf = (made: Prompt): [string, unknown][] =>
  think(made, 1).calls.map((call) => [call.name, JSON.parse(call.input)])

describe('text', () => {
  it('depends on seed and messages only', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), fc.nat(), (text, seed) => {
        expect(think(prompt(text), seed)).toEqual(think(prompt(text, { model: 'other' }), seed))
        expect(think(prompt(text), seed).text).not.toBe('')
      }),
    )
    const texts = new Set([1, 2, 3, 4, 5].map((seed) => think(prompt('Tell me about warp and weft'), seed).text))
    expect(texts.size).toBeGreaterThan(1)
    expect(
      new Set([0, 1, 2].map((seed) => think(prompt('Tell me about warp and weft', { seed }), 1).text)).size,
    ).toBeGreaterThan(1)
    expect(new Set([0, 1, 2].map((choice) => think(prompt('capital of France'), 1, choice).text)).size).toBe(3)
  })

  it.each([
    ['What is the capital of France?', 'The capital of France is Paris.'],
    ['Question: what is the capital city of the united states?\nAnswer:', 'Washington'],
    ['What is 1 + 2', '1 + 2 = 3.'],
    ['Hello', 'Hello! How can I help you today?'],
    ['Say this is a test', 'this is a test'],
    ['Count from 1 to 4', '1, 2, 3, 4.'],
  ])('knows %j', (asked, answer) => {
    expect(think(prompt(asked), 1).text).toContain(answer)
  })

  it('remembers a name and quotes a tool result', () => {
    const told = prompt('', {
      messages: [user('My name is Ada.'), { ...user('Hi Ada'), role: 'assistant' }, user('What is my name?')],
    })
    expect(think(told, 1).text).toBe('Your name is Ada.')
    const result: Message = { role: 'tool', text: '{"temperature":21}', media: [], calls: [], toolName: 'get_weather' }
    expect(think(prompt('', { messages: [user('Weather?'), result] }), 1).text).toContain('{"temperature":21}')
  })

  it('cuts at stop sequences and at the token limit, and says which', () => {
    fc.assert(
      fc.property(
        fc.lorem({ maxCount: 8 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(' the', 'a', '.'),
        (text, maxTokens, stop) => {
          const whole = think(prompt(text), 1).text ?? ''
          const cut = think(prompt(text, { maxTokens, stop: [stop] }), 1)
          const kept = cut.text ?? ''
          expect(whole.startsWith(kept)).toBe(true)
          expect(kept).not.toContain(stop)
          expect(countTokens(kept)).toBeLessThanOrEqual(maxTokens)
          expect(cut.visibleTokens).toBe(countTokens(kept))
          const beforeStop = whole.split(stop)[0] ?? ''
          expect(cut.finish).toBe(kept === beforeStop ? 'stop' : 'length')
        },
      ),
    )
  })

  it('goes on to min_tokens', () => {
    expect(think(prompt('loom', { minTokens: 500 }), 1).visibleTokens).toBeGreaterThanOrEqual(500)
  })

  it('thinks only with reasoning models', () => {
    expect(['o1-mini', 'o3', 'o4-mini', 'gpt-5-mini', 'openai/gpt-5', 'sim-reason'].every(isReasoningModel)).toBe(true)
    expect(['gpt-4o', 'sim-chat', 'llama-3', 'foo1'].some(isReasoningModel)).toBe(false)
    expect(think(prompt('hi', { model: 'o3', effort: 'high' }), 1).reasoningTokens).toBe(128)
    expect(think(prompt('hi', { model: 'o3', maxTokens: 10 }), 1)).toMatchObject({
      reasoningTokens: 5,
      finish: 'length',
    })
  })
})

describe('tools', () => {
  const weather = tool('get_weather', { location: { type: 'string' } })
  const adder = tool('adderTool', { a: { type: 'number' }, b: { type: 'number' } })

  it('calls what the text names or hints at, and nothing else', () => {
    const tools = [weather, adder]
    expect(callsOf(prompt('What is the weather in San Francisco, CA?', { tools }))).toEqual([
      ['get_weather', { location: 'San Francisco, CA' }],
    ])
    expect(callsOf(prompt('Please use adderTool(1, 2)', { tools }))).toEqual([['adderTool', { a: 1, b: 2 }]])
    expect(callsOf(prompt('adderTool 4 5 and then get_weather for Oslo', { tools }))).toEqual([
      ['adderTool', { a: 4, b: 5 }],
      ['get_weather', { location: 'Oslo' }],
    ])
    expect(callsOf(prompt('Tell me a story', { tools }))).toEqual([])
    expect(callsOf(prompt('get_weather', { tools, toolChoice: { mode: 'none' } }))).toEqual([])
  })

  it('tells magic_function from magic_function_no_args', () => {
    const tools = [
      tool('magic_function', { input: { type: 'integer', exclusiveMinimum: -1000, exclusiveMaximum: 1000 } }),
      tool('magic_function_no_args'),
    ]
    expect(callsOf(prompt('What is the value of magic_function(3)? Use the tool.', { tools }))).toEqual([
      ['magic_function', { input: 3 }],
    ])
    expect(callsOf(prompt('What is the value of magic_function_no_args()?', { tools }))).toEqual([
      ['magic_function_no_args', {}],
    ])
  })

  it('obeys named, required and parallel', () => {
    const tools = [weather, adder]
    expect(callsOf(prompt('Hello', { tools, toolChoice: { mode: 'named', name: 'adderTool' } }))[0]?.[0]).toBe(
      'adderTool',
    )
    expect(callsOf(prompt('Hello', { tools, toolChoice: { mode: 'required' } }))[0]?.[0]).toBe('get_weather')
    expect(callsOf(prompt('adderTool 1 2, get_weather in Rome', { tools, parallel: false })).length).toBe(1)
  })

  it('takes the tools one after another when calls may not be parallel', () => {
    const asked = user('adderTool 1 2, get_weather in Rome')
    const called: Message = { role: 'assistant', text: '', media: [], calls: [{ name: 'adderTool', input: '{}' }] }
    const result: Message = { role: 'tool', text: '3', media: [], calls: [], toolName: 'adderTool' }
    const tools = [weather, adder]
    const next = prompt('', { messages: [asked, called, result], tools, parallel: false })
    expect(callsOf(next).map(([name]) => name)).toEqual(['get_weather'])
    expect(think({ ...next, parallel: true }, 1).text).toContain('3')
  })

  it('lifts quotes, labels, formats, enums and lists from the prompt', () => {
    const find = tool(
      'find_user',
      {
        name: { type: 'string' },
        email: { type: 'string', format: 'email' },
        unit: { enum: ['metric', 'imperial'] },
        ids: { type: 'array', items: { type: 'integer' } },
      },
      ['name', 'ids'],
    )
    const asked = "find_user named '你好啊集团' with ada@example.com in imperial units: 3, 4 and 5"
    expect(callsOf(prompt(asked, { tools: [find] }))).toEqual([
      ['find_user', { name: '你好啊集团', email: 'ada@example.com', unit: 'imperial', ids: [3, 4, 5] }],
    ])
  })

  it('gives a custom tool free text', () => {
    const custom: ToolSpec = { ...tool('run_code'), kind: 'custom' }
    const [call] = think(prompt('run_code "print(1)"', { tools: [custom] }), 1).calls
    expect(call).toMatchObject({ kind: 'custom', name: 'run_code', input: 'print(1)' })
  })

  it('cuts the arguments at the token limit', () => {
    const made = think(prompt('get_weather in Rome', { tools: [weather], maxTokens: 8 }), 1)
    expect(made.finish).toBe('length')
    expect(() => JSON.parse(made.calls[0]?.input ?? '{}') as unknown).toThrow(SyntaxError)
  })
})

describe('structured output', () => {
  it('answers JSON mode with the keys that are asked for', () => {
    const made = think(
      prompt("Tell a joke as JSON with 'setup' and 'punchline' keys.", { format: { type: 'json_object' } }),
      1,
    )
    expect(Object.keys(JSON.parse(made.text ?? '') as object)).toEqual(['setup', 'punchline'])
    expect(JSON.parse(think(prompt('Hi', { format: { type: 'json_object' } }), 1).text ?? '')).toHaveProperty('answer')
  })

  it('is streamed in pieces that split strings and never characters', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
        const text = JSON.stringify(value)
        const pieces = jsonPieces(text)
        expect(pieces.join('')).toBe(text)
        expect(pieces.every((piece) => [...piece].length <= 5 && [...piece].length > 0)).toBe(true)
      }),
    )
    const pieces = jsonPieces(JSON.stringify({ text: 'line\nline "quoted" \\ '.repeat(20) }))
    expect(pieces.some((piece) => piece.endsWith('\\'))).toBe(true)
  })

  it('streams plain text by token', () => {
    const made = think(prompt('capital of France'), 1)
    expect(textPieces(made).join('')).toBe(made.text)
  })
})

describe('log probabilities', () => {
  it('cover the text, fall off, and begin with the chosen token', () => {
    const all = logprobsOf('The loom.', 3)
    expect(all.map(({ token }) => token).join('')).toBe('The loom.')
    for (const { token, logprob, alternatives, bytes } of all) {
      expect(logprob).toBeLessThanOrEqual(0)
      expect(Buffer.from(bytes).toString()).toBe(token)
      expect(alternatives).toHaveLength(3)
      expect(alternatives[0]?.token).toBe(token)
      expect(alternatives.map((other) => other.logprob)).toEqual(
        alternatives.map((other) => other.logprob).toSorted((a, b) => b - a),
      )
    }
  })
})

describe('embeddings', () => {
  const dot = (a: Float32Array, b: Float32Array): number =>
    a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)

  it('have unit length and depend on nothing but the text', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 300 }), (text, dimensions) => {
        const vector = embed(text, dimensions)
        expect(dot(vector, vector)).toBeCloseTo(1, 4)
        expect(embed(text, dimensions)).toEqual(vector)
      }),
    )
  })

  it('put similar texts close together', () => {
    const near = dot(embed('How do I reset my password?', 256), embed('how can I reset the password', 256))
    const far = dot(embed('How do I reset my password?', 256), embed('Best pizza in Naples', 256))
    expect(near).toBeGreaterThan(0.5)
    expect(far).toBeLessThan(0.3)
  })
})
