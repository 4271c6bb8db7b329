import { expect, test } from 'vitest'
import { readRequest } from './request.ts'

const LIMITS = { depth: 64, keys: 1000 }
const fields = (more: object) =>
  readRequest('completions', Buffer.from(JSON.stringify({ model: 'm', prompt: 'x', ...more })), LIMITS)

test('answers that are wanted multiply what the answer may cost', () => {
  expect(fields({}).choices).toBe(1)
  expect(fields({ n: null }).choices).toBe(1)
  expect(fields({ n: 4, max_tokens: 20 })).toMatchObject({ choices: 4, maxTokens: 20 })
  expect(fields({ n: 2, best_of: 5 }).choices).toBe(5)
  expect(fields({ n: 1e300, max_tokens: 1e300 })).toMatchObject({ choices: 1e9, maxTokens: 1e9 })
})

test('an image in base64 is not taken for text: its bytes would be longer than any context', () => {
  const url = `data:image/png;base64,${Buffer.alloc(1_500_000, 7).toString('base64')}`
  const body = {
    model: 'm',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url } },
        ],
      },
    ],
  }
  const read = readRequest('chat', Buffer.from(JSON.stringify(body)), LIMITS)
  expect(read.textBytes).toBeLessThan(500)
  expect(read.promptTokens).toBeLessThan(5000)
  expect(read.promptTokens).toBeGreaterThan(1000)
})
