import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { Dialect } from '../contracts/dialect.ts'
import { redactedText } from './bedrock/client-parts.ts'
import { ANY_PROOF, FOREIGN_PROOF, mayHoldForeignProofs, withoutProofs } from './proofs.ts'

const user = (text: string): JsonObject => ({ role: 'user', content: [{ type: 'text', text }] })
const thought = (signature: string): JsonObject => ({ type: 'thinking', thinking: 'hm', signature })
const use: JsonObject = { type: 'tool_use', id: 'a', name: 'f', input: {} }
const result: JsonObject = { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'x' }] }
const said = (...content: Json[]): JsonObject => ({ role: 'assistant', content })

describe('Messages', () => {
  const thinking = { type: 'enabled', budget_tokens: 2000 }

  it('go on without thoughts of a turn that is over, still thinking', () => {
    const body = { thinking, messages: [user('a'), said(thought('s'), { type: 'text', text: 'b' }), user('c')] }
    expect(withoutProofs('anthropic.messages', body, ANY_PROOF)).toEqual({
      thinking,
      messages: [user('a'), said({ type: 'text', text: 'b' }), user('c')],
    })
  })

  it('go on without thinking in a turn of calls whose thoughts are gone', () => {
    const edits = [{ type: 'clear_thinking_20251015' }, { type: 'clear_tool_uses_20250919' }]
    const body = {
      thinking,
      context_management: { edits },
      messages: [user('a'), said(thought('s'), use), result],
    }
    expect(withoutProofs('anthropic.messages', body, ANY_PROOF)).toEqual({
      context_management: { edits: [edits[1]] },
      messages: [user('a'), said(use), result],
    })
    const only = { thinking, context_management: { edits: [edits[0]!] }, messages: body.messages }
    expect(withoutProofs('anthropic.messages', only, ANY_PROOF)).not.toHaveProperty('context_management')
  })

  it('lose messages that held nothing else', () => {
    const hidden = { type: 'redacted_thinking', data: 'x' }
    const body = { messages: [user('a'), said(hidden), user('b')] }
    expect(withoutProofs('anthropic.messages', body, ANY_PROOF)).toEqual({ messages: [user('a'), user('b')] })
  })

  it('keep what is Anthropic’s own, byte for byte, when only foreign proofs go', () => {
    const body = {
      messages: [
        user('a'),
        said(thought('own'), thought('hdl1.gemini.generate!x'), thought(''), { type: 'text', text: 'b' }),
      ],
    }
    expect(withoutProofs('anthropic.messages', body, FOREIGN_PROOF)).toEqual({
      messages: [user('a'), said(thought('own'), { type: 'text', text: 'b' })],
    })
  })
})

it('Responses lose encrypted reasoning, and the ids by which OpenAI would look for it', () => {
  const input = [
    { role: 'user', content: 'a' },
    { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'e' },
    { type: 'function_call', id: 'fc_1', call_id: 'c', name: 'f', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c', output: 'x' },
  ]
  expect(withoutProofs('openai.responses', { input, store: false }, ANY_PROOF)).toEqual({
    input: [input[0], { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' }, input[3]],
    store: false,
  })
  expect(withoutProofs('openai.responses', { input }, FOREIGN_PROOF)).toBeNull()
})

it('Gemini gets the word for calls without a signature, and other parts go without', () => {
  const functionCall = { name: 'f', args: {} }
  const contents = [
    { role: 'user', parts: [{ text: 'a' }] },
    {
      role: 'model',
      parts: [
        { text: 'b', thoughtSignature: 'x' },
        { functionCall, thoughtSignature: 'y' },
        { text: '', thoughtSignature: 'z' },
      ],
    },
    { role: 'model', parts: [{ text: '', thought: true, thought_signature: 'z' }] },
  ]
  const stripped = withoutProofs('gemini.generate', { contents }, ANY_PROOF)
  expect(stripped).toEqual({
    contents: [
      contents[0],
      { role: 'model', parts: [{ text: 'b' }, { functionCall, thoughtSignature: 'skip_thought_signature_validator' }] },
    ],
  })
  // Once is enough: nothing is left that could go.
  expect(withoutProofs('gemini.generate', stripped!, ANY_PROOF)).toBeNull()
})

it('chat loses signed details and signatures of calls', () => {
  const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }
  const messages = [
    {
      role: 'assistant',
      content: null,
      reasoning_details: [
        { type: 'reasoning.text', text: 'hm', signature: 's' },
        { type: 'reasoning.summary', summary: 'x' },
      ],
      tool_calls: [{ ...call, extra_content: { google: { thought_signature: 'g' } } }],
    },
  ]
  expect(withoutProofs('openai.chat', { messages }, ANY_PROOF)).toEqual({
    messages: [
      {
        role: 'assistant',
        content: null,
        reasoning_details: [{ type: 'reasoning.summary', summary: 'x' }],
        tool_calls: [call],
      },
    ],
  })
})

it('Converse loses reasoning that others have signed, also where bytes hide whose it is', () => {
  const said = (signature: string) => ({ reasoningContent: { reasoningText: { text: 'hm', signature } } })
  const hidden = (redactedContent: string) => ({ reasoningContent: { redactedContent } })
  const packed = redactedText({ by: 'anthropic.messages', value: 'EuY' })
  const content = [said('own'), said('hdl1.gemini.generate!x'), hidden(packed), hidden('AAEC'), { text: 'b' }]
  const messages = [{ role: 'assistant', content }]
  expect(mayHoldForeignProofs(Buffer.from(JSON.stringify({ c: hidden(packed) })))).toBe(true)
  expect(withoutProofs('bedrock.converse', { messages }, FOREIGN_PROOF)).toEqual({
    messages: [{ role: 'assistant', content: [said('own'), hidden('AAEC'), { text: 'b' }] }],
  })
  expect(withoutProofs('bedrock.converse', { messages }, ANY_PROOF)).toEqual({
    messages: [{ role: 'assistant', content: [{ text: 'b' }] }],
  })
  expect(
    withoutProofs('bedrock.converse', { messages: [{ role: 'assistant', content: [said('own')] }] }, FOREIGN_PROOF),
  ).toBeNull()
})

it('is only looked for where a text begins as a foreign proof does', () => {
  expect(mayHoldForeignProofs(Buffer.from('{"signature":"hdl2.s!hdl1.x!y"}'))).toBe(true)
  expect(mayHoldForeignProofs(Buffer.from('{"signature": ""}'))).toBe(true)
  expect(mayHoldForeignProofs(Buffer.from('{"signature":"Ev0hdl1.x"}'))).toBe(false)
})

it('takes any JSON, changes nothing in place, and is done after one time', () => {
  const dialects: Dialect[] = [
    'anthropic.messages',
    'openai.responses',
    'gemini.generate',
    'openai.chat',
    'ollama.chat',
    'bedrock.converse',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...dialects), fc.jsonValue(), fc.jsonValue(), (dialect, one, other) => {
      const body = { messages: [one, { content: [one, thought('s')] }], input: [other], contents: other } as JsonObject
      const before = JSON.stringify(body)
      const after = withoutProofs(dialect, body, ANY_PROOF)
      expect(JSON.stringify(body)).toBe(before)
      if (after !== null) expect(withoutProofs(dialect, after, ANY_PROOF)).toBeNull()
    }),
  )
})
