// LangChain.js with its classes for OpenAI, Anthropic and Google, each before backends of every vendor.
import { ChatAnthropic } from '@langchain/anthropic'
import type { BaseChatModel } from '@langchain/core/language_models/chat_models'
import type { AIMessageChunk } from '@langchain/core/messages'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { ChatGoogleGenerativeAI } from '@langchain/google-genai'
import { ChatOpenAI } from '@langchain/openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { asGemini, BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends

beforeAll(async () => {
  backends = await startBackends()
}, 60_000)

afterAll(() => backends?.close())

const common = { apiKey: 'sk-e2e', maxRetries: 0 }
const openAi = (model: string, useResponsesApi: boolean): BaseChatModel =>
  new ChatOpenAI({ ...common, model, useResponsesApi, configuration: { baseURL: `${backends.url}/v1` } })
const CLIENTS: Readonly<Record<string, (name: string) => BaseChatModel>> = {
  'openai chat': (name) => openAi(name, false),
  'openai responses': (name) => openAi(name, true),
  anthropic: (name) => new ChatAnthropic({ ...common, model: name, maxTokens: 2_000, anthropicApiUrl: backends.url }),
  google: (name) => new ChatGoogleGenerativeAI({ ...common, model: name, baseUrl: backends.url }),
}
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const pairs = Object.keys(CLIENTS).flatMap((client) =>
  (Object.keys(BACKENDS) as BackendName[]).map((backend) => ({ client, backend })),
)

describe.each(pairs)('LangChain.js, $client to $backend', ({ client, backend }) => {
  const model = (): BaseChatModel => CLIENTS[client]!(BACKENDS[backend])

  it('answers and streams, with usage', async () => {
    const whole = await model().invoke('What is the capital of Japan?')
    expect(whole.text).toContain('Tokyo')
    const counted: unknown = whole.usage_metadata
    expect(counted).toMatchObject({ output_tokens: expect.any(Number) })
    const chunks: AIMessageChunk[] = []
    for await (const chunk of await model().stream('What is the capital of Japan?')) chunks.push(chunk)
    const full = chunks.reduce((joined, chunk) => joined.concat(chunk))
    expect(full.text).toBe(whole.text)
    const usage: unknown = full.usage_metadata
    expect(usage).toMatchObject({ output_tokens: expect.any(Number) })
  })

  it.each([false, true])('calls tools and takes their results (stream: %s)', async (stream) => {
    const adder = tool(({ a, b }) => String(a + b), {
      name: 'adderTool',
      description: 'Adds',
      schema: z.object({ a: z.number(), b: z.number() }),
    })
    const bound = model().bindTools!([adder])
    const question = new HumanMessage('Use adderTool(1, 2)')
    let called: AIMessageChunk = await bound.invoke([question])
    if (stream) {
      const chunks: AIMessageChunk[] = []
      for await (const chunk of await bound.stream([question])) chunks.push(chunk)
      called = chunks.reduce((joined, chunk) => joined.concat(chunk))
    }
    expect(called.tool_calls).toMatchObject([{ name: 'adderTool', args: { a: 1, b: 2 } }])
    const id = called.tool_calls?.[0]?.id ?? ''
    const result = new ToolMessage({ content: 'the sum is three', tool_call_id: id, name: 'adderTool' })
    expect((await bound.invoke([question, called, result])).text).toContain('the sum is three')
  })

  it('gives structured output', async () => {
    const schema = z.object({ setup: z.string(), punchline: z.string() })
    const joke = model().withStructuredOutput(schema, { name: 'joke' }).invoke('Tell me a joke about cats.')
    // It forces a tool there, which Ollama cannot: nobody is told that it worked.
    if (client === 'anthropic' && backend === 'ollama') await expect(joke).rejects.toThrow('tool_choice')
    else expect(schema.parse(await joke)).toEqual(await joke)
  })

  it('shows an image', async () => {
    const answer = await CLIENTS[client]!(client === 'google' ? asGemini(backend) : BACKENDS[backend]).invoke([
      new HumanMessage({
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } },
        ],
      }),
    ])
    expect(answer.text).toContain('I received')
  })

  it('raises what the backend refuses, also in the middle of a stream', async () => {
    const broken = (fault: string): BaseChatModel => CLIENTS[client]!(faulty(backend, fault))
    await expect(broken('context_length').invoke('Hi')).rejects.toThrow(/long|token|context/i)
    await expect(broken('rate_limit=long').invoke('Hi')).rejects.toThrow(/rate|429/i)
    const read = async (): Promise<string> => {
      let text = ''
      for await (const chunk of await broken('interval=50~error_after=2').stream('What is the capital of Japan?'))
        text += chunk.text
      return text
    }
    // Of the Responses API and of Google's it passes over error events, also those of the vendors themselves.
    if (client === 'openai responses' || client === 'google') expect(await read()).toBe('The capital')
    else await expect(read()).rejects.toThrow(/\S/)
  })
})
