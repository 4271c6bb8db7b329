import type { Account } from './account.ts'
import { describe, expect, test } from 'vitest'
import type { Attempt } from './attempt.ts'
import { continuationBody, isContinuable } from './continuation.ts'
import { answerHeaders, rawAnswerHeaders } from './headers.ts'
import { HedgeBudget } from './hedge-budget.ts'

describe('continuation', () => {
  test('what can be continued', () => {
    expect(isContinuable({ messages: [] })).toBe(true)
    expect(isContinuable({ messages: [], n: 1 })).toBe(true)
    for (const body of [{}, { messages: 'x' }, { messages: [], n: 2 }, { prompt: 'x' }])
      expect(isContinuable(body)).toBe(false)
  })

  test('the conversation, the answer so far, and the instruction; all else as it was', () => {
    const body = {
      model: 'a',
      messages: [{ role: 'user', content: 'q' }],
      temperature: 0,
      stream: true,
      stream_options: { include_obfuscation: false },
    }
    const next = JSON.parse(continuationBody(body, 'so far', 'b', true).toString()) as typeof body
    expect(next).toMatchObject({
      model: 'b',
      temperature: 0,
      stream: true,
      stream_options: { include_obfuscation: false, include_usage: true },
    })
    expect(next.messages.slice(0, 2)).toEqual([
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'so far' },
    ])
    expect(next.messages).toHaveLength(3)
    expect(JSON.parse(continuationBody(body, 'x', 'b', false).toString())).toHaveProperty(
      'stream_options',
      body.stream_options,
    )
  })
})

describe('hedge budget', () => {
  const config = { afterMs: 10, maxShare: 0.1, maxCostPerMinute: 1 }

  test('a share of the requests, and always one', () => {
    const budget = new HedgeBudget()
    let taken = 0
    for (let i = 0; i < 100; i++) {
      budget.request('r')
      if (budget.take('r', config, 0, 0)) taken++
    }
    expect(taken).toBe(10)
    budget.request('other')
    expect(budget.take('other', config, 0, 0)).toBe(true)
  })

  test('money by the minute', () => {
    const budget = new HedgeBudget()
    for (let i = 0; i < 100; i++) budget.request('r')
    expect([0.6, 0.6, 0.4, 0.1].map((price) => budget.take('r', config, price, 1000))).toEqual([
      true,
      false,
      true,
      false,
    ])
    expect(budget.take('r', config, 0.6, 62_001)).toBe(true)
  })

  test('the money is shared out between the workers', () => {
    const budget = new HedgeBudget()
    budget.workers = 4
    for (let i = 0; i < 100; i++) budget.request('r')
    expect([0.3, 0.2, 0.1].map((price) => budget.take('r', config, price, 1000))).toEqual([false, true, false])
  })
})

describe('headers of an answer', () => {
  const attempt = (headers: object, type = 'openai') =>
    ({
      target: { name: 'p/m', headerName: 'p/m', provider: { name: 'p', config: { type } } },
      owner: { attempts: [{}, {}] },
      dropped: ['seed'],
      headers,
    }) as unknown as Attempt
  const hostile = {
    'set-cookie': ['a=b'],
    server: 'x',
    connection: 'x-evil',
    'x-evil': '1',
    'x-api-key': 'k',
    authorization: 'k',
    location: 'http://x',
    'transfer-encoding': 'chunked',
    'content-length': '5',
    'x-request-id': 'theirs',
    'www-authenticate': 'x',
    'alt-svc': 'x',
    'strict-transport-security': 'x',
    'access-control-allow-origin': '*',
  }
  const NO_LEASE = { lease: null } as Account
  const names = (list: readonly string[]) => list.filter((_, i) => i % 2 === 0)

  test('only what a client may see', () => {
    for (const list of [
      answerHeaders(attempt(hostile), 'id', 'application/json', NO_LEASE),
      rawAnswerHeaders(attempt(hostile), 'id', NO_LEASE),
    ]) {
      const text = names(list).join(' ')
      for (const name of Object.keys(hostile)) if (name !== 'x-request-id') expect(names(list)).not.toContain(name)
      expect(list[list.indexOf('x-request-id') + 1]).toBe('id')
      expect(text).toContain('x-heddle-attempts')
    }
  })

  test('a caller with limits of its own gets those and not the provider’s', () => {
    const given = { 'x-ratelimit-remaining-tokens': '5', 'x-ratelimit-limit-requests': '9' }
    const lease = { addHeaders: (to: string[]) => void to.push('x-ratelimit-remaining-tokens', '7') }
    const list = answerHeaders(attempt(given), 'id', 'application/json', { lease } as unknown as Account)
    expect(list.filter((text) => text === 'x-ratelimit-remaining-tokens')).toHaveLength(1)
    expect(list[list.indexOf('x-ratelimit-remaining-tokens') + 1]).toBe('7')
    expect(list).not.toContain('x-ratelimit-limit-requests')
  })

  test('rate limits and timings pass, and what is needed to read a raw body', () => {
    const given = {
      'x-ratelimit-remaining-tokens': '5',
      'openai-processing-ms': '3',
      'content-type': 'audio/mpeg',
      'content-disposition': 'attachment',
    }
    expect(names(answerHeaders(attempt(given), 'id', 'application/json', NO_LEASE))).toEqual(
      expect.arrayContaining(['x-ratelimit-remaining-tokens', 'openai-processing-ms']),
    )
    const raw = rawAnswerHeaders(attempt(given), 'id', NO_LEASE)
    expect(raw[raw.indexOf('content-type') + 1]).toBe('audio/mpeg')
    expect(names(raw)).toContain('content-disposition')
  })
})
