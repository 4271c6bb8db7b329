/** The wires of Ollama, Cohere and TGI. */
import type { Conversation, Loose, Said, Wire } from './wires-words.ts'
import { finishOf, joined, list, modelOf, num, parsed, str, toolOf } from './wires-words.ts'
import { functions, openAiCalls, openAiMessages } from './wires-openai.ts'

const ollamaMessages = (asked: Conversation): unknown[] => [
  ...(asked.system === undefined ? [] : [{ role: 'system', content: asked.system }]),
  ...asked.turns.flatMap((turn): unknown[] => {
    if (turn.role === 'results')
      return turn.results.map(({ call, text }) => ({ role: 'tool', tool_name: call.name, content: text }))
    if (turn.role === 'user')
      return [{ role: 'user', content: turn.text, ...(turn.image === undefined ? {} : { images: [turn.image] }) }]
    const calls = (turn.calls ?? []).map(({ name, input }) => ({ function: { name, arguments: input } }))
    return [{ role: 'assistant', content: turn.text, ...(calls.length === 0 ? {} : { tool_calls: calls }) }]
  }),
]

const ollamaSaid = (lines: readonly Loose[]): Said => {
  const messages = lines.map((line) => line['message'])
  const calls = messages
    .flatMap((message) => list(message?.['tool_calls']))
    .map((call) => ({ name: str(call['function']?.['name']), input: call['function']?.['arguments'] }))
  const last = lines.at(-1)
  return {
    text: joined(messages.map((message) => message?.['content'])),
    reasoning: joined(messages.map((message) => message?.['thinking'])),
    calls,
    finish: finishOf(str(last?.['done_reason']), calls.length),
    usage: { input: num(last?.['prompt_eval_count']), output: num(last?.['eval_count']) },
  }
}

export const ollama: Wire = {
  lacks: ['tool-choice', 'single'],
  path: () => '/api/chat',
  body: (asked, stream) => ({
    model: modelOf(asked),
    messages: ollamaMessages(asked),
    stream,
    ...functions(asked),
    ...(asked.schema === undefined ? {} : { format: asked.schema }),
    ...(asked.think === true ? { think: true } : {}),
    options: {
      ...(asked.stop === undefined ? {} : { stop: asked.stop }),
      ...(asked.maxTokens === undefined ? {} : { num_predict: asked.maxTokens }),
    },
  }),
  said: (body) => ollamaSaid([body]),
  streamed: ollamaSaid,
}

const cohereSaid = (
  content: readonly Loose[],
  calls: Said['calls'],
  reason: string,
  usage: Loose | undefined,
): Said => ({
  text: joined(content.map((part) => part['text'])),
  reasoning: joined(content.map((part) => part['thinking'])),
  calls,
  finish: finishOf(reason, calls.length),
  usage: { input: num(usage?.['tokens']?.['input_tokens']), output: num(usage?.['tokens']?.['output_tokens']) },
})

export const cohere: Wire = {
  lacks: ['single'],
  path: () => '/v2/chat',
  body: (asked, stream) => ({
    model: modelOf(asked),
    messages: openAiMessages(asked),
    stream,
    ...functions(asked),
    ...(asked.choice === undefined ? {} : { tool_choice: asked.choice === 'none' ? 'NONE' : 'REQUIRED' }),
    // A tool is named by being the only one.
    ...(toolOf(asked.choice) === undefined
      ? {}
      : functions({ ...asked, tools: (asked.tools ?? []).filter(({ name }) => name === toolOf(asked.choice)) })),
    ...(asked.schema === undefined ? {} : { response_format: { type: 'json_object', json_schema: asked.schema } }),
    ...(asked.think === true ? { thinking: { type: 'enabled' } } : {}),
    ...(asked.stop === undefined ? {} : { stop_sequences: asked.stop }),
    ...(asked.maxTokens === undefined ? {} : { max_tokens: asked.maxTokens }),
  }),
  said: (body) => {
    const message = body['message']
    const calls = openAiCalls(list(message?.['tool_calls']))
    return cohereSaid(list(message?.['content']), calls, str(body['finish_reason']), body['usage'])
  },
  streamed: (events) => {
    const messages = events.map((event) => ({ type: str(event['type']), message: event['delta']?.['message'] }))
    const content = messages.flatMap(({ type, message }) =>
      type === 'content-delta' && message?.['content'] !== undefined ? [message['content']] : [],
    )
    const calls: { name: string; text: string }[] = []
    for (const { type, message } of messages) {
      const made = message?.['tool_calls']?.['function']
      if (type === 'tool-call-start') calls.push({ name: str(made?.['name']), text: '' })
      const last = calls.at(-1)
      if (last !== undefined && type === 'tool-call-delta') last.text += str(made?.['arguments'])
    }
    const end = events.find((event) => str(event['type']) === 'message-end')?.['delta']
    const read = calls.map(({ name, text }) => ({ name, input: parsed(text) }))
    return cohereSaid(content, read, str(end?.['finish_reason']), end?.['usage'])
  },
}

const tgiSaid = (text: string, details: Loose | undefined, input: number): Said => ({
  text,
  reasoning: '',
  calls: [],
  finish: finishOf(str(details?.['finish_reason']), 0),
  usage: { input, output: num(details?.['generated_tokens']) },
})

export const tgi: Wire = {
  // What stops it stays in the text.
  lacks: ['system', 'tools', 'choice', 'history', 'image', 'think', 'stop', 'reasoning'],
  path: (_, stream) => (stream ? '/generate_stream' : '/generate'),
  body: (asked, stream) => ({
    inputs: asked.turns.map((turn) => (turn.role === 'user' ? turn.text : '')).join('\n'),
    parameters: {
      details: true,
      decoder_input_details: !stream,
      max_new_tokens: asked.maxTokens ?? 4096,
      ...(asked.schema === undefined ? {} : { grammar: { type: 'json', value: asked.schema } }),
    },
  }),
  said: (body) => tgiSaid(str(body['generated_text']), body['details'], list(body['details']?.['prefill']).length),
  streamed: (events) => {
    const last = events.at(-1)
    const tokens = events.map((event) => event['token']).filter((token) => String(token?.['special']) !== 'true')
    return tgiSaid(
      joined(tokens.map((token) => token?.['text'])),
      last?.['details'],
      num(last?.['details']?.['input_length']),
    )
  },
}
