import { expect, test } from 'vitest'
import type { JsonObject } from '../../contracts/canonical.ts'
import { answerOfItem, isKeptId, KEPT_PREFIX, newId } from './ids.ts'
import { forProvider, inputItems, pageOf } from './items.ts'
import { numberOf, replayEvents, splitEvents } from './replay.ts'

test('ids are ours to tell, and lead from an item to its answer', () => {
  const id = newId(KEPT_PREFIX)
  expect(isKeptId(id)).toBe(true)
  for (const other of ['resp_abc', `${id}x`, `${id}/x`, 'resp_hdl_', '']) expect(isKeptId(other)).toBe(false)
  const items = inputItems(
    [
      { role: 'user', content: 'hi' },
      { type: 'function_call_output', call_id: 'c', output: '' },
    ],
    id,
  )
  for (const item of items) expect(answerOfItem(String((item as JsonObject)['id']))).toBe(id)
  expect(answerOfItem(`msg_${id.slice(5)}_0`)).toBe(id)
  expect(answerOfItem('msg_0123')).toBeNull()
})

test('input is listed as items', () => {
  expect(inputItems('hi', 'resp_x')).toEqual([
    {
      type: 'message',
      role: 'user',
      content: [{ type: 'input_text', text: 'hi' }],
      id: 'msg_x_i0',
      status: 'completed',
    },
  ])
  expect(inputItems([{ role: 'assistant', content: 'yes', id: 'mine' }], 'resp_x')).toMatchObject([
    { id: 'mine', content: [{ type: 'output_text', text: 'yes' }] },
  ])
  expect(inputItems(undefined, 'resp_x')).toEqual([])
})

test('a provider gets what it can know: no ids of ours, no reasoning that others have sealed', () => {
  const items = [
    { type: 'message', id: 'msg_1', status: 'completed', role: 'assistant', content: [] },
    { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'hdl1.anthropic.messages!abc' },
    { type: 'reasoning', id: 'rs_2', summary: [] },
    { type: 'reasoning', id: 'rs_3', summary: [], encrypted_content: 'gAAAA' },
    { type: 'function_call', id: 'fc_1', call_id: 'c', name: 'f', arguments: '{}', status: 'completed' },
  ]
  expect(forProvider(items)).toEqual([
    { type: 'message', role: 'assistant', content: [] },
    { type: 'reasoning', summary: [], encrypted_content: 'gAAAA' },
    { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
  ])
})

test('pages follow one another in both directions and end', () => {
  const all = ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id }))
  for (const order of ['asc', 'desc'] as const) {
    const seen: string[] = []
    let after: string | null = null
    for (let more = true; more;) {
      const page = pageOf(all, { after, limit: 2, order }) as {
        data: { id: string }[]
        has_more: boolean
        last_id: string
      }
      seen.push(...page.data.map(({ id }) => id))
      after = page.last_id
      more = page.has_more
    }
    expect(seen.join('')).toBe(order === 'asc' ? 'abcde' : 'edcba')
  }
  expect(pageOf(all, { after: 'x', limit: 2, order: 'asc' })).toBeNull()
  expect(pageOf([], { after: null, limit: 2, order: 'asc' })).toMatchObject({
    data: [],
    has_more: false,
    first_id: null,
  })
})

test('a response is told again event by event', () => {
  const response: JsonObject = {
    id: 'resp_x',
    status: 'completed',
    usage: { total_tokens: 1 },
    output: [
      { type: 'reasoning', id: 'rs_0', summary: [{ type: 'summary_text', text: 'hm' }] },
      {
        type: 'message',
        id: 'msg_1',
        role: 'assistant',
        status: 'completed',
        content: [
          {
            type: 'output_text',
            text: 'say "sequence_number":99',
            annotations: [{ type: 'url_citation' }],
            logprobs: [],
          },
        ],
      },
      { type: 'function_call', id: 'fc_2', call_id: 'c', name: 'f', arguments: '{"a":1}', status: 'completed' },
    ],
  }
  const { events, rest } = splitEvents(replayEvents(response))
  expect(rest).toBe('')
  expect(events.map(numberOf)).toEqual(events.map((_, i) => i))
  const told = events.map((event) => JSON.parse(event.slice(event.indexOf('\ndata: ') + 7)) as JsonObject)
  expect(told.map((event) => event['type'])).toMatchSnapshot()
  expect(told.at(-1)).toMatchObject({ type: 'response.completed', response })
  expect(told.find(({ type }) => type === 'response.output_text.delta')).toMatchObject({
    delta: 'say "sequence_number":99',
    item_id: 'msg_1',
    output_index: 1,
    content_index: 0,
  })
  expect(told[0]).toMatchObject({ response: { status: 'in_progress', output: [], usage: null } })
})
