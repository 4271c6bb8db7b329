import { describe, expect, it } from 'vitest'
import type { ChatRequest, JsonObject } from '../../contracts/canonical.ts'
import type { Wire } from '../../contracts/dialect.ts'
import { Recording } from '../../../test/support/wire-checks.ts'
import { anthropicMessagesWire } from '../anthropic/wire.ts'
import { openaiResponsesWire } from '../openai/wire-responses.ts'
import { foldCustom, unfoldCustom } from './custom-tools.ts'
import { featuresIn } from './features.ts'
import { negotiate } from './negotiate.ts'

const GRAMMAR: JsonObject = { format: { type: 'grammar', syntax: 'lark', definition: 'start: /.+/' } }
const REQUEST: ChatRequest = {
  model: 'm',
  stream: false,
  tools: [
    { name: 'apply_patch', description: 'Edits', schema: null, custom: GRAMMAR },
    { name: 'shell', schema: { type: 'object' } },
  ],
  messages: [
    { role: 'user', parts: [{ type: 'text', text: 'go' }] },
    {
      role: 'assistant',
      parts: [
        { type: 'tool_call', id: 'a', name: 'apply_patch', arguments: '*** "x"\n', custom: true },
        { type: 'tool_call', id: 'b', name: 'shell', arguments: '{}' },
      ],
    },
  ],
}

describe('a request with tools that take free text', () => {
  it('has functions in their place where a wire knows no others', () => {
    const { request, dropped } = negotiate(REQUEST, featuresIn(REQUEST), anthropicMessagesWire, 'refuse')
    expect(dropped).toEqual([])
    expect(request.tools).toEqual([
      {
        name: 'apply_patch',
        description: 'Edits',
        schema: {
          type: 'object',
          properties: {
            input: { type: 'string', description: 'The text. It must follow this lark grammar:\nstart: /.+/' },
          },
          required: ['input'],
          additionalProperties: false,
        },
      },
      REQUEST.tools![1],
    ])
    expect(request.messages[1]!.parts).toEqual([
      { type: 'tool_call', id: 'a', name: 'apply_patch', arguments: '{"input":"*** \\"x\\"\\n"}' },
      REQUEST.messages[1]!.parts[1],
    ])
  })

  it('stays as it is where a wire knows them', () => {
    expect(foldCustom(REQUEST, openaiResponsesWire)).toBe(REQUEST)
    const sink = new Recording()
    expect(unfoldCustom(sink, openaiResponsesWire, REQUEST)).toBe(sink)
    expect(unfoldCustom(sink, anthropicMessagesWire, { ...REQUEST, tools: [REQUEST.tools![1]!] })).toBe(sink)
  })
})

describe('calls of them', () => {
  const told = (wire: Wire, pieces: readonly (readonly [index: number, piece: string])[]): unknown[] => {
    const sink = new Recording()
    const to = unfoldCustom(sink, wire, REQUEST)
    to.start('', '')
    to.toolCall(0, 0, 'a', 'apply_patch', false)
    let second = false
    for (const [index, piece] of pieces) {
      if (index === 1 && !second) to.toolCall(0, 1, 'b', 'shell', false)
      second ||= index === 1
      to.toolArguments(0, index, piece)
    }
    to.finish(0, 'tool_calls', '')
    to.end()
    return sink.entries.filter(([what]) => what === 'call').map((entry) => [...entry].slice(2))
  }

  it('are told as they were asked for, the others as they come', () => {
    expect(
      told(anthropicMessagesWire, [
        [0, '{"inp'],
        [0, 'ut":"a\\nb"}'],
        [1, '{"x":'],
        [1, '1}'],
      ]),
    ).toEqual([
      [0, 'a', 'apply_patch', true, 'a\nb'],
      [1, 'b', 'shell', false, '{"x":1}'],
    ])
  })

  it('may alternate with others', () => {
    expect(
      told(anthropicMessagesWire, [
        [0, '{"input":'],
        [1, '{}'],
        [0, '"t"}'],
      ]),
    ).toEqual([
      [0, 'a', 'apply_patch', true, 't'],
      [1, 'b', 'shell', false, '{}'],
    ])
  })

  it('lose nothing when they were cut off, or are not as was asked', () => {
    expect(told(anthropicMessagesWire, [[0, '{"input":"abc']])).toEqual([
      [0, 'a', 'apply_patch', true, '{"input":"abc'],
    ])
    expect(told(anthropicMessagesWire, [[0, '{"patch":1}']])).toEqual([[0, 'a', 'apply_patch', true, '{"patch":1}']])
    expect(told(anthropicMessagesWire, [])).toEqual([[0, 'a', 'apply_patch', true, '']])
  })
})
