import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../contracts/canonical.ts'
import type { AnswerContext, ClientDialect, Dialect } from '../contracts/dialect.ts'
import { asked, expectTable, TARGET } from '../../test/support/wire-checks.ts'
import { GatewayError } from '../core/errors.ts'
import { featuresIn } from './canonical/features.ts'
import { negotiate } from './canonical/negotiate.ts'
import { clientDialect } from './client-dialects.ts'
import { wireOf } from './wires.ts'

const NATIVE: readonly Dialect[] = [
  'openai.chat',
  'openai.responses',
  'anthropic.messages',
  'gemini.generate',
  'ollama.chat',
  'bedrock.converse',
  'cohere.chat',
  'tgi.generate',
]

it('all wires are there, and one that only clients speak is not', () => {
  for (const dialect of NATIVE) {
    expect(wireOf(dialect).dialect).toBe(dialect)
    expectTable(wireOf(dialect))
  }
  expect(() => wireOf('openai.completions')).toThrow(GatewayError)
})

/** An answer of each backend whose proofs must come back, and where they stand in the next request. */
const ANSWERS: Readonly<Partial<Record<Dialect, { model: string; answer: JsonObject; proofs: readonly string[] }>>> = {
  'anthropic.messages': {
    model: 'claude-opus-4-8',
    answer: {
      id: 'msg_1',
      model: 'm',
      content: [
        { type: 'thinking', thinking: 'hm', signature: 'c2ln+/=' },
        { type: 'redacted_thinking', data: 'cmVk+/=' },
        { type: 'tool_use', id: 'toolu_1', name: 'f', input: { a: 1 } },
      ],
      stop_reason: 'tool_use',
    },
    proofs: [
      '{"type":"thinking","thinking":"hm","signature":"c2ln+/="}',
      '{"type":"redacted_thinking","data":"cmVk+/="}',
      '{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}',
    ],
  },
  'gemini.generate': {
    model: 'gemini-3-flash',
    answer: {
      responseId: 'r1',
      candidates: [
        {
          content: {
            parts: [
              { text: 'so', thoughtSignature: 'dGV4dA==' },
              { functionCall: { id: 'g1', name: 'f', args: { a: 1 } }, thoughtSignature: 'Y2FsbA==' },
            ],
          },
          finishReason: 'STOP',
        },
      ],
    },
    proofs: [
      '{"text":"so","thoughtSignature":"dGV4dA=="}',
      '{"functionCall":{"id":"g1","name":"f","args":{"a":1}},"thoughtSignature":"Y2FsbA=="}',
    ],
  },
  'bedrock.converse': {
    model: 'anthropic.claude-opus-4-8',
    answer: {
      output: {
        message: {
          content: [
            { reasoningContent: { reasoningText: { text: 'hm', signature: 'c2ln+/=' } } },
            { toolUse: { toolUseId: 't1', name: 'f', input: { a: 1 } } },
          ],
        },
      },
      stopReason: 'tool_use',
    },
    proofs: [
      '{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln+/="}}}',
      '{"toolUse":{"toolUseId":"t1","name":"f","input":{"a":1}}}',
    ],
  },
  'openai.responses': {
    model: 'gpt-5.1',
    answer: {
      id: 'resp_1',
      status: 'completed',
      output: [
        {
          type: 'reasoning',
          id: 'rs_1',
          summary: [{ type: 'summary_text', text: 'hm' }],
          encrypted_content: 'ZW5j+/=',
        },
        { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{ "a":1}' },
      ],
    },
    proofs: ['"encrypted_content":"ZW5j+/="', '"id":"rs_1"', '"call_id":"c1","name":"f"'],
  },
}

/** How a client of each dialect sends an answer back in its next request. */
const RETURNS: Readonly<Partial<Record<Dialect, (body: JsonObject) => JsonObject>>> = {
  'openai.chat': (body) => ({
    model: 'alias',
    messages: [
      { role: 'user', content: 'u' },
      (body['choices'] as JsonObject[])[0]!['message']!,
      { role: 'tool', tool_call_id: idIn(body), content: '7' },
    ],
  }),
  'openai.responses': (body) => ({
    model: 'alias',
    input: [
      { role: 'user', content: 'u' },
      ...(body['output'] as JsonObject[]),
      { type: 'function_call_output', call_id: idIn(body), output: '7' },
    ],
  }),
  'anthropic.messages': (body) => ({
    model: 'alias',
    max_tokens: 9,
    messages: [
      { role: 'user', content: 'u' },
      { role: 'assistant', content: body['content']! },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: idIn(body), content: '7' }] },
    ],
  }),
  'gemini.generate': (body) => ({
    contents: [
      { role: 'user', parts: [{ text: 'u' }] },
      (body['candidates'] as JsonObject[])[0]!['content']!,
      { role: 'user', parts: [{ functionResponse: { id: idIn(body), name: 'f', response: { output: '7' } } }] },
    ],
  }),
}
const idIn = (body: JsonObject): string => /toolu_1|g1|t1|c1/.exec(JSON.stringify(body))![0]

function answered(client: ClientDialect, wire: Dialect): JsonObject {
  const context: AnswerContext = {
    requestId: 'req1',
    model: 'alias',
    created: 1,
    includeUsage: true,
    request: asked(),
    sent: {},
  }
  const encoder = client.answer(context)
  expect(wireOf(wire).answer(ANSWERS[wire]!.answer, encoder)).toBe('ok')
  return JSON.parse(encoder.body()) as JsonObject
}

describe('proofs of reasoning find their way back', () => {
  for (const dialect of Object.keys(ANSWERS) as Dialect[])
    for (const name of Object.keys(RETURNS) as Dialect[]) {
      if (name === dialect) continue
      it(`to ${dialect} through a client of ${name}`, () => {
        const client = clientDialect(name)
        const { model, proofs } = ANSWERS[dialect]!
        const sent = RETURNS[name]!(answered(client, dialect))
        const wire = wireOf(dialect)
        const asks = client.request(sent, 'alias', false)
        const { request } = negotiate(asks, featuresIn(asks), wire, 'refuse')
        const body = JSON.stringify(wire.request(request, { ...TARGET, model }))
        let from = 0
        for (const proof of proofs) {
          const at = body.indexOf(proof)
          expect(at, `${proof} in ${body}`).toBeGreaterThan(-1)
          if (!proof.startsWith('"')) expect(at).toBeGreaterThanOrEqual(from)
          from = at
        }
      })
    }
})
