import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { OpenList, OpenMember } from './open-list.ts'

class Named extends OpenMember {
  readonly id: number
  constructor(id: number) {
    super()
    this.id = id
  }
}

test('holds exactly what was added and not removed, in order, whatever the order of changes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(20)), { maxLength: 100 }), (steps) => {
      const list = new OpenList<Named>()
      const members = new Map<number, Named>()
      let expected: number[] = []
      for (const [add, id] of steps) {
        if (add && !expected.includes(id)) {
          const member = new Named(id)
          members.set(id, member)
          list.add(member)
          expected.push(id)
        } else if (!add && members.has(id)) {
          list.remove(members.get(id)!)
          expected = expected.filter((e) => e !== id)
        }
      }
      expect(list.all().map((m) => m.id)).toEqual(expected)
    }),
  )
})
