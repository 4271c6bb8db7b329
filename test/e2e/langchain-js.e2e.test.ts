import type { AIMessageChunk } from '@langchain/core/messages'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { StringOutputParser } from '@langchain/core/output_parsers'
import { ChatPromptTemplate, PromptTemplate } from '@langchain/core/prompts'
import { tool } from '@langchain/core/tools'
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import type { Gateway } from './support.ts'
import { startGateway } from './support.ts'

let gateway: Gateway

beforeAll(async () => {
  gateway = await startGateway()
})

afterAll(() => gateway?.stop())

const connection = () => ({ apiKey: 'sk-e2e', configuration: { baseURL: gateway.url }, maxRetries: 0 })

describe.each([false, true])('LangChain.js chat model (responses: %s)', (useResponsesApi) => {
  const model = (name = 'gpt-4o-mini') =>
    new ChatOpenAI({ ...connection(), model: name, useResponsesApi, streamUsage: true })

  it('runs a chain of prompt, model and parser', async () => {
    const prompt = ChatPromptTemplate.fromMessages([
      ['system', 'You are brief.'],
      ['human', 'What is the capital of {country}?'],
    ])
    const chain = prompt.pipe(model()).pipe(new StringOutputParser())
    expect(await chain.invoke({ country: 'France' })).toContain('Paris')
  })

  it('streams, with usage at the end', async () => {
    const chunks: AIMessageChunk[] = []
    for await (const chunk of await model().stream('What is the capital of Japan?')) chunks.push(chunk)
    const full = chunks.reduce((joined, chunk) => joined.concat(chunk))
    expect(full.text).toContain('Tokyo')
    const usage: unknown = full.usage_metadata
    expect(usage).toMatchObject({ input_tokens: expect.any(Number), output_tokens: expect.any(Number) })
  })

  it('calls tools and takes their results', async () => {
    const adder = tool(({ a, b }) => String(a + b), {
      name: 'adderTool',
      description: 'Adds',
      schema: z.object({ a: z.number(), b: z.number() }),
    })
    const bound = model().bindTools([adder])
    const question = new HumanMessage('Use adderTool(1, 2)')
    const called = await bound.invoke([question])
    expect(called.tool_calls).toMatchObject([{ name: 'adderTool', args: { a: 1, b: 2 } }])
    const result = new ToolMessage({ content: 'the sum is three', tool_call_id: called.tool_calls?.[0]?.id ?? '' })
    expect((await bound.invoke([question, called, result])).text).toContain('the sum is three')
  })

  it('gives structured output', async () => {
    const schema = z.object({ setup: z.string(), punchline: z.string() })
    const joke = await model().withStructuredOutput(schema, { name: 'joke' }).invoke('Tell me a joke about cats.')
    expect(schema.parse(joke)).toEqual(joke)
  })

  it('batches', async () => {
    const answers = await model().batch(['capital of Italy', 'capital of Spain'])
    expect(answers.map((answer) => answer.text)).toEqual([
      'The capital of Italy is Rome.',
      'The capital of Spain is Madrid.',
    ])
  })
})

describe('LangChain.js text model and embeddings', () => {
  it('completes a prompt as before chat', async () => {
    const llm = new OpenAI({ ...connection(), model: 'gpt-3.5-turbo-instruct', temperature: 0.9 })
    const chain = PromptTemplate.fromTemplate('Question: {question}\nAnswer:').pipe(llm)
    expect(await chain.invoke({ question: 'What is the capital of France?' })).toContain('Paris')
  })

  it('embeds documents and queries alike', async () => {
    const embeddings = new OpenAIEmbeddings({ ...connection(), model: 'text-embedding-3-small', dimensions: 16 })
    const [document] = await embeddings.embedDocuments(['warp', 'weft'])
    expect(document).toHaveLength(16)
    expect(await embeddings.embedQuery('warp')).toEqual(document)
  })
})
