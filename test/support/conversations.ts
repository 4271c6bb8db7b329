/** Conversations in no vendor's words: what every client must be able to have with every backend. */
import type { ChatRequest, JsonObject, Message, Part, Tool } from '../../src/contracts/canonical.ts'

export interface Conversation {
  readonly name: string
  readonly request: ChatRequest
}

const text = (value: string): Part => ({ type: 'text', text: value })
const user = (...parts: (string | Part)[]): Message => ({
  role: 'user',
  parts: parts.map((part) => (typeof part === 'string' ? text(part) : part)),
})
const system = (value: string): Message => ({ role: 'system', parts: [text(value)] })
const assistant = (...parts: (string | Part)[]): Message => ({
  role: 'assistant',
  parts: parts.map((part) => (typeof part === 'string' ? text(part) : part)),
})
const call = (id: string, name: string, args: JsonObject): Part => ({
  type: 'tool_call',
  id,
  name,
  arguments: JSON.stringify(args),
})
const result = (id: string, name: string, value: string, error = false): Message => ({
  role: 'tool',
  parts: [{ type: 'tool_result', id, name, content: [text(value)], ...(error ? { error } : {}) }],
})

const weather: Tool = {
  name: 'get_current_weather',
  description: 'The weather of a city',
  schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const time: Tool = {
  name: 'get_current_time',
  description: 'The time of a zone',
  schema: { type: 'object', properties: { zone: { type: 'string' } }, required: ['zone'] },
}
const PERSON: JsonObject = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}
/** One red pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const PDF = Buffer.from('%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n').toString('base64')

const ask = (name: string, messages: readonly Message[], more: Partial<ChatRequest> = {}): Conversation => ({
  name,
  request: { model: 'sim-1', stream: false, maxTokens: 400, messages, ...more },
})

const BOTH = 'ALWAYS call get_current_weather for Paris and get_current_time for CET.'
const LONG = 'The loom, the shuttle and the weft are parts of one thing. '.repeat(120)

export const CONVERSATIONS: readonly Conversation[] = [
  ask('one turn', [user('Say hello to the weaver.')]),
  ask('instructions', [system('You are a weaver. Be brief.'), user('What is a heddle?')]),
  ask('several turns', [user('My name is Ada.'), assistant('Hello Ada.'), user('What is my name?')]),
  ask('text in parts', [user('What is warp,', 'and what is weft?')]),
  ask('other scripts', [system('Antworte auf Deutsch: äöü ß'), user('你好，织布机 🧵 “quoted” \\ and \n lines')]),
  ask('long prompt', [user(`${LONG}What is it about?`)]),
  ask('cut by its length', [user('Tell me a long story about looms and threads.')], { maxTokens: 20 }),
  ask('stopped by a sequence', [user('Count the threads of the loom.')], { stop: ['e'] }),
  ask('sampling', [user('Name a colour.')], { temperature: 0.2, topP: 0.9 }),
  ask('a tool is there', [user('What is the weather in Paris?')], { tools: [weather, time] }),
  ask('a tool is not needed', [user('Thank you very much.')], { tools: [weather] }),
  ask('a tool must be called', [user('Good morning to you.')], { tools: [weather], toolChoice: { mode: 'required' } }),
  ask('this tool must be called', [user('Good morning to you.')], {
    tools: [weather, time],
    toolChoice: { mode: 'tool', name: 'get_current_time' },
  }),
  ask('no tool may be called', [user('What is the weather in Paris?')], {
    tools: [weather],
    toolChoice: { mode: 'none' },
  }),
  ask('two tools at once', [user(BOTH)], { tools: [weather, time] }),
  ask('one tool at a time', [user(BOTH)], { tools: [weather, time], parallelTools: false }),
  ask(
    'a result',
    [
      user('What is the weather in Paris?'),
      assistant(call('call_a1', 'get_current_weather', { city: 'Paris' })),
      result('call_a1', 'get_current_weather', '{"celsius":21}'),
    ],
    { tools: [weather] },
  ),
  ask(
    'two results',
    [
      user(BOTH),
      assistant(
        'I will look.',
        call('call_a1', 'get_current_weather', { city: 'Paris' }),
        call('call_a2', 'get_current_time', { zone: 'CET' }),
      ),
      result('call_a1', 'get_current_weather', '21 degrees'),
      result('call_a2', 'get_current_time', 'noon'),
    ],
    { tools: [weather, time] },
  ),
  ask(
    'a failed call',
    [
      user('What is the weather in Paris?'),
      assistant(call('call_a1', 'get_current_weather', { city: 'Paris' })),
      result('call_a1', 'get_current_weather', 'no such city', true),
      assistant('That did not work.'),
      user('Never mind. Thank you.'),
    ],
    { tools: [weather] },
  ),
  ask('an image', [
    user('What is on this picture?', {
      type: 'image',
      source: { kind: 'base64', mime: 'image/png', data: PIXEL },
    }),
  ]),
  ask('an image by URL', [
    user('And on this one?', {
      type: 'image',
      source: { kind: 'url', url: 'https://img.test/a.png', mime: 'image/png' },
    }),
  ]),
  ask('a document', [
    user('Summarise this.', {
      type: 'file',
      name: 'loom.pdf',
      source: { kind: 'base64', mime: 'application/pdf', data: PDF },
    }),
  ]),
  ask('JSON by a schema', [user('Ada is 36 years old.')], {
    format: { type: 'schema', name: 'person', schema: PERSON, strict: true },
  }),
  ask('JSON of any shape', [user("Answer in JSON with the key 'colour'.")], { format: { type: 'json' } }),
  ask('reasoning', [user('Why does a heddle lift threads?')], {
    maxTokens: 20_000,
    reasoning: { effort: 'medium', budget: null, visible: true },
  }),
]
