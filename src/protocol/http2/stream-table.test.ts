import { expect, test } from 'vitest'
import fc from 'fast-check'
import { ClosedStreams } from './abuse.ts'
import { StreamTable } from './stream-table.ts'

/** Many that want the same few places, and some that do not. */
const number = fc
  .oneof(
    fc.record({ home: fc.integer({ min: 0, max: 3 }), turn: fc.integer({ min: 0, max: 15 }) }),
    fc.integer({ max: 400, min: 0 }),
  )
  .map((n) => (typeof n === 'number' ? n : n.home + n.turn * 64) * 2 + 1)

test('finds what is in it and nothing else, however streams come and go', () => {
  const steps = fc.array(fc.record({ id: number, add: fc.boolean() }), {
    maxLength: 600,
    size: 'max',
  })
  fc.assert(
    fc.property(steps, (list) => {
      const table = new StreamTable<{ readonly id: number }>()
      const model = new Map<number, { readonly id: number }>()
      for (const { id, add } of list) {
        if (add && !model.has(id)) {
          const stream = { id }
          model.set(id, stream)
          table.add(stream)
        } else if (!add) {
          model.delete(id)
          table.remove(id)
        }
        expect(table.get(id)).toBe(model.get(id) ?? null)
      }
      expect(table.count).toBe(model.size)
      for (const [id, stream] of model) expect(table.get(id)).toBe(stream)
      expect(new Set(table.all())).toEqual(new Set(model.values()))
    }),
  )
})

test('how the last streams were closed is known for a while', () => {
  const closed = new ClosedStreams()
  closed.add(1, true)
  closed.add(3, false)
  expect([closed.how(1), closed.how(3), closed.how(5)]).toEqual([2, 1, 0])
  for (let i = 0; i < 128; i++) closed.add(101 + i * 2, false)
  expect([closed.how(1), closed.how(101)]).toEqual([0, 1])
})
