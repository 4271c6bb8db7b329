import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { faultTableMarkdown } from '../../src/sim/fault-table.ts'
import { parseFaults, splitModel } from '../../src/sim/faults.ts'

const guide = readFileSync(new URL('../../docs/guides/simulator.md', import.meta.url), 'utf8')

test('the guide’s fault table is the one in the code', () => {
  const table = /<!-- faults: begin -->\n([\s\S]*?)<!-- faults: end -->/.exec(guide)?.[1]
  expect(table).toBe(faultTableMarkdown())
})

test('the guide’s fault specs are valid', () => {
  const models = [...guide.matchAll(/"model":"([^"]+)"/g)].map((match) => match[1] ?? '')
  const specs = [...guide.matchAll(/(?:x-sim-fault: |--faults ')([^']+)'/g)].map((match) => match[1] ?? '')
  expect(models.some((model) => model.includes('~'))).toBe(true)
  expect(specs.length).toBeGreaterThanOrEqual(2)
  for (const model of models) expect(splitModel(model).model).toBe('sim-chat')
  for (const spec of specs) expect(parseFaults(spec).size).toBeGreaterThan(0)
})
