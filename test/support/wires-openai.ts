/** OpenAI's wires, as its API reference has them. */
import type { Conversation, Loose, Said, Wire } from './wires-words.ts'
import { finishOf, joined, list, modelOf, num, parsed, str, toolOf } from './wires-words.ts'

export const openAiMessages = (asked: Conversation): unknown[] => [
  ...(asked.system === undefined ? [] : [{ role: 'system', content: asked.system }]),
  ...asked.turns.flatMap((turn): unknown[] => {
    if (turn.role === 'results')
      return turn.results.map(({ call, text }) => ({ role: 'tool', tool_call_id: call.id, content: text }))
    if (turn.role === 'user') {
      const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${turn.image ?? ''}` } }
      return [
        { role: 'user', content: turn.image === undefined ? turn.text : [{ type: 'text', text: turn.text }, image] },
      ]
    }
    const calls = (turn.calls ?? []).map(({ id, name, input }) => ({
      id,
      type: 'function',
      function: { name, arguments: JSON.stringify(input) },
    }))
    return [{ role: 'assistant', content: turn.text, ...(calls.length === 0 ? {} : { tool_calls: calls }) }]
  }),
]

export const functions = (asked: Conversation) =>
  asked.tools === undefined ? {} : { tools: asked.tools.map((tool) => ({ type: 'function', function: tool })) }

export const openAiCalls = (calls: readonly Loose[]): Said['calls'] =>
  calls.map((call) => ({
    name: str(call['function']?.['name']),
    input: parsed(str(call['function']?.['arguments'])),
  }))

const openAiUsage = (usage: Loose | undefined): Said['usage'] => ({
  input: num(usage?.['prompt_tokens']),
  output: num(usage?.['completion_tokens']),
})

export const openAiChat: Wire = {
  lacks: [],
  path: () => '/v1/chat/completions',
  body: (asked, stream) => ({
    model: modelOf(asked),
    messages: openAiMessages(asked),
    stream,
    ...(stream ? { stream_options: { include_usage: true } } : {}),
    ...functions(asked),
    ...(asked.choice === undefined
      ? {}
      : {
          tool_choice:
            toolOf(asked.choice) === undefined
              ? asked.choice
              : { type: 'function', function: { name: toolOf(asked.choice) } },
        }),
    ...(asked.single === true ? { parallel_tool_calls: false } : {}),
    ...(asked.schema === undefined
      ? {}
      : { response_format: { type: 'json_schema', json_schema: { name: 'made', schema: asked.schema } } }),
    ...(asked.think === true ? { reasoning_effort: 'medium' } : {}),
    ...(asked.stop === undefined ? {} : { stop: asked.stop }),
    ...(asked.maxTokens === undefined ? {} : { max_completion_tokens: asked.maxTokens }),
  }),
  said: (body) => {
    const [choice] = list(body['choices'])
    const message = choice?.['message']
    const calls = openAiCalls(list(message?.['tool_calls']))
    return {
      text: str(message?.['content']),
      reasoning: str(message?.['reasoning_content']),
      calls,
      finish: finishOf(str(choice?.['finish_reason']), calls.length),
      usage: openAiUsage(body['usage']),
    }
  },
  streamed: (events) => {
    const deltas = events.flatMap((event) => list(event['choices']).map((choice) => choice['delta']))
    const calls: { name: string; text: string }[] = []
    for (const piece of deltas.flatMap((delta) => list(delta?.['tool_calls']))) {
      const call = (calls[num(piece['index'])] ??= { name: str(piece['function']?.['name']), text: '' })
      call.text += str(piece['function']?.['arguments'])
    }
    const reasons = events.flatMap((event) => list(event['choices']).map((choice) => str(choice['finish_reason'])))
    return {
      text: joined(deltas.map((delta) => delta?.['content'])),
      reasoning: joined(deltas.map((delta) => delta?.['reasoning_content'])),
      calls: calls.map(({ name, text }) => ({ name, input: parsed(text) })),
      finish: finishOf(reasons.join(''), calls.length),
      usage: openAiUsage(events.at(-1)?.['usage']),
    }
  },
}

const responseItems = (asked: Conversation): unknown[] =>
  asked.turns.flatMap((turn): unknown[] => {
    if (turn.role === 'results')
      return turn.results.map(({ call, text }) => ({ type: 'function_call_output', call_id: call.id, output: text }))
    if (turn.role === 'user') {
      const image = { type: 'input_image', image_url: `data:image/png;base64,${turn.image ?? ''}` }
      const text = { type: 'input_text', text: turn.text }
      return [{ role: 'user', content: turn.image === undefined ? [text] : [text, image] }]
    }
    const calls = (turn.calls ?? []).map(({ id, name, input }) => ({
      type: 'function_call',
      call_id: id,
      name,
      arguments: JSON.stringify(input),
    }))
    return [...(turn.text === '' ? [] : [{ role: 'assistant', content: turn.text }]), ...calls]
  })

const responseSaid = (response: Loose): Said => {
  const items = list(response['output'])
  const texts = (type: string, inner: string): string =>
    joined(
      items
        .filter((item) => str(item['type']) === type)
        .flatMap((item) => list(item[inner]).map((part) => part['text'])),
    )
  const calls = items
    .filter((item) => str(item['type']) === 'function_call')
    .map((item) => ({ name: str(item['name']), input: parsed(str(item['arguments'])) }))
  return {
    text: texts('message', 'content'),
    reasoning: texts('reasoning', 'summary'),
    calls,
    finish: finishOf(str(response['status']), calls.length),
    usage: { input: num(response['usage']?.['input_tokens']), output: num(response['usage']?.['output_tokens']) },
  }
}

export const openAiResponses: Wire = {
  lacks: ['stop'],
  path: () => '/v1/responses',
  body: (asked, stream) => ({
    model: modelOf(asked),
    input: responseItems(asked),
    stream,
    ...(asked.system === undefined ? {} : { instructions: asked.system }),
    ...(asked.tools === undefined ? {} : { tools: asked.tools.map((tool) => ({ type: 'function', ...tool })) }),
    ...(asked.choice === undefined
      ? {}
      : {
          tool_choice:
            toolOf(asked.choice) === undefined ? asked.choice : { type: 'function', name: toolOf(asked.choice) },
        }),
    ...(asked.single === true ? { parallel_tool_calls: false } : {}),
    ...(asked.schema === undefined
      ? {}
      : { text: { format: { type: 'json_schema', name: 'made', schema: asked.schema } } }),
    reasoning: { summary: 'auto', ...(asked.think === true ? { effort: 'medium' } : {}) },
    ...(asked.maxTokens === undefined ? {} : { max_output_tokens: asked.maxTokens }),
  }),
  said: responseSaid,
  streamed: (events) => {
    const last = events.at(-1)?.['response']
    if (last === undefined) throw new Error('no response at the end')
    const said = responseSaid(last)
    const of = (type: string): string =>
      joined(events.map((event) => (str(event['type']) === type ? event['delta'] : undefined)))
    return { ...said, text: of('response.output_text.delta'), reasoning: of('response.reasoning_summary_text.delta') }
  },
}
