import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { RowPool } from './row-pool.ts'

test('blocks never overlap, are aligned, and what is given back is whole again', () => {
  const step = fc.record({ give: fc.boolean(), order: fc.nat(6), which: fc.nat() })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 300, size: 'max' }), (pages, steps) => {
      const pool = new RowPool()
      for (let i = 0; i < pages; i++) pool.addPage()
      const taken: { row: number; order: number }[] = []
      const used = new Set<number>()
      for (const { give, order, which } of steps) {
        if (give && taken.length > 0) {
          const [block] = taken.splice(which % taken.length, 1)
          for (let i = 0; i < 1 << block!.order; i++) used.delete(block!.row + i)
          pool.give(block!.row, block!.order)
        } else {
          const had = pool.has(order)
          const row = pool.take(order)
          if (row === -1) expect(used.size).toBe(pages * 64)
          else {
            const size = 1 << pool.takenOrder
            expect(had).toBe(pool.takenOrder === order)
            expect(pool.takenOrder).toBeLessThanOrEqual(order)
            expect(row % size).toBe(0)
            for (let i = 0; i < size; i++) {
              expect(used.has(row + i)).toBe(false)
              used.add(row + i)
            }
            taken.push({ row, order: pool.takenOrder })
          }
        }
        expect(pool.freeRows).toBe(pages * 64 - used.size)
      }
      for (const { row, order } of taken) pool.give(row, order)
      for (let i = 0; i < pages; i++) {
        pool.take(6)
        expect(pool.takenOrder).toBe(6)
      }
      expect(pool.take(0)).toBe(-1)
    }),
  )
})

test('small blocks share a page and leave the others whole', () => {
  const pool = new RowPool()
  pool.addPage()
  pool.addPage()
  const first = pool.take(0)
  for (let i = 0; i < 20; i++) expect(Math.floor(pool.take(1) / 64)).toBe(Math.floor(first / 64))
  expect(pool.has(6)).toBe(true)
})
