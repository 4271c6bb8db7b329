/** The wires of Anthropic, Google and Amazon. */
import type { Conversation, Loose, Said, Wire } from './wires-words.ts'
import { finishOf, joined, list, modelOf, num, parsed, str, toolOf } from './wires-words.ts'

const anthropicMessages = (asked: Conversation): unknown[] =>
  asked.turns.map((turn) => {
    if (turn.role === 'results') {
      const content = turn.results.map(({ call, text }) => ({
        type: 'tool_result',
        tool_use_id: call.id,
        content: text,
      }))
      return { role: 'user', content }
    }
    const text = turn.text === '' ? [] : [{ type: 'text', text: turn.text }]
    if (turn.role === 'assistant') {
      const calls = (turn.calls ?? []).map(({ id, name, input }) => ({ type: 'tool_use', id, name, input }))
      return { role: 'assistant', content: [...text, ...calls] }
    }
    const source = { type: 'base64', media_type: 'image/png', data: turn.image }
    return { role: 'user', content: [...text, ...(turn.image === undefined ? [] : [{ type: 'image', source }])] }
  })

const anthropicUsage = (usage: Loose | undefined): Said['usage'] => ({
  input:
    num(usage?.['input_tokens']) +
    num(usage?.['cache_read_input_tokens']) +
    num(usage?.['cache_creation_input_tokens']),
  output: num(usage?.['output_tokens']),
})

const anthropicChoice = (asked: Conversation): unknown => {
  const name = toolOf(asked.choice)
  const type = asked.choice === 'required' ? 'any' : name === undefined ? (asked.choice ?? 'auto') : 'tool'
  return {
    type,
    ...(name === undefined ? {} : { name }),
    ...(asked.single === true ? { disable_parallel_tool_use: true } : {}),
  }
}

const anthropicSaid = (blocks: readonly Loose[], reason: string, usage: Loose | undefined): Said => {
  const calls = blocks
    .filter((block) => str(block['type']) === 'tool_use')
    .map((block) => ({ name: str(block['name']), input: block['input'] }))
  return {
    text: joined(blocks.map((block) => block['text'])),
    reasoning: joined(blocks.map((block) => block['thinking'])),
    calls,
    finish: finishOf(reason, calls.length),
    usage: anthropicUsage(usage),
  }
}

export const anthropic: Wire = {
  lacks: [],
  path: () => '/v1/messages',
  body: (asked, stream) => ({
    model: modelOf(asked),
    max_tokens: asked.maxTokens ?? 4096,
    messages: anthropicMessages(asked),
    stream,
    ...(asked.system === undefined ? {} : { system: asked.system }),
    ...(asked.tools === undefined
      ? {}
      : {
          tools: asked.tools.map(({ parameters, ...tool }) => ({ ...tool, input_schema: parameters })),
          tool_choice: anthropicChoice(asked),
        }),
    ...(asked.schema === undefined ? {} : { output_config: { format: { type: 'json_schema', schema: asked.schema } } }),
    ...(asked.think === true ? { thinking: { type: 'enabled', budget_tokens: 1024 } } : {}),
    ...(asked.stop === undefined ? {} : { stop_sequences: asked.stop }),
  }),
  said: (body) => anthropicSaid(list(body['content']), str(body['stop_reason']), body['usage']),
  streamed: (events) => {
    const blocks: Record<string, unknown>[] = []
    for (const event of events) {
      const index = num(event['index'])
      if (str(event['type']) === 'content_block_start') blocks[index] = { ...event['content_block'], json: '' }
      const delta = str(event['type']) === 'content_block_delta' ? event['delta'] : undefined
      const block = blocks[index]
      if (delta === undefined || block === undefined) continue
      for (const key of ['text', 'thinking'])
        if (delta[key] !== undefined) block[key] = `${String(block[key] ?? '')}${str(delta[key])}`
      if (delta['partial_json'] !== undefined) block['json'] = `${String(block['json'])}${str(delta['partial_json'])}`
    }
    for (const block of blocks) if (str(block['type']) === 'tool_use') block['input'] = parsed(String(block['json']))
    const last = events.find((event) => str(event['type']) === 'message_delta')
    return anthropicSaid(blocks as Loose[], str(last?.['delta']?.['stop_reason']), last?.['usage'])
  },
}

const geminiContents = (asked: Conversation): unknown[] =>
  asked.turns.map((turn) => {
    if (turn.role === 'results') {
      const parts = turn.results.map(({ call, text }) => ({
        functionResponse: { name: call.name, response: { output: text } },
      }))
      return { role: 'user', parts }
    }
    const text = turn.text === '' ? [] : [{ text: turn.text }]
    if (turn.role === 'assistant') {
      const calls = (turn.calls ?? []).map(({ name, input }) => ({ functionCall: { name, args: input } }))
      return { role: 'model', parts: [...text, ...calls] }
    }
    const inlineData = { mimeType: 'image/png', data: turn.image }
    return { role: 'user', parts: [...text, ...(turn.image === undefined ? [] : [{ inlineData }])] }
  })

const geminiMode = (asked: Conversation): unknown => {
  const name = toolOf(asked.choice)
  if (name !== undefined) return { mode: 'ANY', allowedFunctionNames: [name] }
  return { mode: asked.choice === 'required' ? 'ANY' : asked.choice === 'none' ? 'NONE' : 'AUTO' }
}

const geminiSaid = (chunks: readonly Loose[]): Said => {
  const candidates = chunks.flatMap((chunk) => list(chunk['candidates']))
  const parts = candidates.flatMap((candidate) => list(candidate['content']?.['parts']))
  const calls = parts.flatMap((part) =>
    part['functionCall'] === undefined
      ? []
      : [{ name: str(part['functionCall']['name']), input: part['functionCall']['args'] }],
  )
  const usage = chunks.at(-1)?.['usageMetadata']
  return {
    text: joined(parts.map((part) => (part['thought'] === undefined ? part['text'] : undefined))),
    reasoning: joined(parts.map((part) => (part['thought'] === undefined ? undefined : part['text']))),
    calls,
    finish: finishOf(joined(candidates.map((candidate) => candidate['finishReason'])), calls.length),
    usage: {
      input: num(usage?.['promptTokenCount']),
      output: num(usage?.['candidatesTokenCount']) + num(usage?.['thoughtsTokenCount']),
    },
  }
}

export const gemini: Wire = {
  lacks: ['single'],
  path: (model, stream) => `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
  body: (asked) => ({
    contents: geminiContents(asked),
    ...(asked.system === undefined ? {} : { systemInstruction: { parts: [{ text: asked.system }] } }),
    ...(asked.tools === undefined
      ? {}
      : {
          tools: [
            {
              functionDeclarations: asked.tools.map(({ parameters, ...tool }) => ({
                ...tool,
                parametersJsonSchema: parameters,
              })),
            },
          ],
          toolConfig: { functionCallingConfig: geminiMode(asked) },
        }),
    generationConfig: {
      ...(asked.schema === undefined ? {} : { responseMimeType: 'application/json', responseJsonSchema: asked.schema }),
      thinkingConfig: {
        includeThoughts: true,
        ...(asked.think === true ? {} : modelOf(asked) === 'sim-chat' ? { thinkingBudget: 0 } : {}),
      },
      ...(asked.stop === undefined ? {} : { stopSequences: asked.stop }),
      ...(asked.maxTokens === undefined ? {} : { maxOutputTokens: asked.maxTokens }),
    },
  }),
  said: (body) => geminiSaid([body]),
  streamed: geminiSaid,
}

const bedrockMessages = (asked: Conversation): unknown[] =>
  asked.turns.map((turn) => {
    if (turn.role === 'results') {
      const content = turn.results.map(({ call, text }) => ({
        toolResult: { toolUseId: call.id, content: [{ text }] },
      }))
      return { role: 'user', content }
    }
    const text = turn.text === '' ? [] : [{ text: turn.text }]
    if (turn.role === 'assistant') {
      const calls = (turn.calls ?? []).map(({ id, name, input }) => ({ toolUse: { toolUseId: id, name, input } }))
      return { role: 'assistant', content: [...text, ...calls] }
    }
    const image = { format: 'png', source: { bytes: turn.image } }
    return { role: 'user', content: [...text, ...(turn.image === undefined ? [] : [{ image }])] }
  })

const bedrockChoice = (asked: Conversation): unknown => {
  const name = toolOf(asked.choice)
  if (name !== undefined) return { tool: { name } }
  return asked.choice === 'required' ? { any: {} } : { auto: {} }
}

const bedrockSaid = (blocks: readonly Loose[], reason: string, usage: Loose | undefined): Said => {
  const calls = blocks.flatMap((block) =>
    block['toolUse'] === undefined ? [] : [{ name: str(block['toolUse']['name']), input: block['toolUse']['input'] }],
  )
  return {
    text: joined(blocks.map((block) => block['text'])),
    reasoning: joined(blocks.map((block) => block['reasoningContent']?.['reasoningText']?.['text'])),
    calls,
    finish: finishOf(reason, calls.length),
    usage: {
      input: num(usage?.['inputTokens']) + num(usage?.['cacheReadInputTokens']) + num(usage?.['cacheWriteInputTokens']),
      output: num(usage?.['outputTokens']),
    },
  }
}

export const bedrock: Wire = {
  lacks: ['single'],
  path: (model, stream) => `/model/${model}/converse${stream ? '-stream' : ''}`,
  body: (asked) => ({
    messages: bedrockMessages(asked),
    ...(asked.system === undefined ? {} : { system: [{ text: asked.system }] }),
    ...(asked.tools === undefined || asked.choice === 'none'
      ? {}
      : {
          toolConfig: {
            tools: asked.tools.map(({ parameters, ...tool }) => ({
              toolSpec: { ...tool, inputSchema: { json: parameters } },
            })),
            toolChoice: bedrockChoice(asked),
          },
        }),
    ...(asked.schema === undefined
      ? {}
      : {
          outputConfig: {
            textFormat: { type: 'json_schema', structure: { jsonSchema: { schema: JSON.stringify(asked.schema) } } },
          },
        }),
    ...(asked.think === true
      ? { additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 1024 } } }
      : {}),
    inferenceConfig: {
      ...(asked.stop === undefined ? {} : { stopSequences: asked.stop }),
      ...(asked.maxTokens === undefined ? {} : { maxTokens: asked.maxTokens }),
    },
  }),
  said: (body) => bedrockSaid(list(body['output']?.['message']?.['content']), str(body['stopReason']), body['usage']),
  streamed: (events) => {
    const blocks: Record<string, unknown>[] = []
    const calls = new Map<number, { name: string; text: string }>()
    for (const event of events) {
      const index = num(event['contentBlockIndex'])
      const name = event['start']?.['toolUse']?.['name']
      if (name !== undefined) calls.set(index, { name: str(name), text: '' })
      const delta = event['delta']
      if (delta?.['text'] !== undefined) blocks.push({ text: delta['text'] })
      const thought = delta?.['reasoningContent']?.['text']
      if (thought !== undefined) blocks.push({ reasoningContent: { reasoningText: { text: thought } } })
      const call = calls.get(index)
      if (call !== undefined) call.text += str(delta?.['toolUse']?.['input'])
    }
    for (const { name, text } of calls.values()) blocks.push({ toolUse: { name, input: parsed(text) } })
    const stop = events.find((event) => event['stopReason'] !== undefined)
    return bedrockSaid(blocks as Loose[], str(stop?.['stopReason']), events.at(-1)?.['usage'])
  },
}
