import { expect, test } from 'vitest'
import type { Plan, RouteMatch } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'
import { explainHeader } from './explain-header.ts'

test('callers are told what was decided, and not by which rules', () => {
  const target = (name: string) => ({ name })
  const x = {
    id: 'r',
    principal: { keyId: 'ci', tenant: 'acme' },
    planNote: 'weighted',
    passedOver: [{ target: 'p/full', reason: 'refused by board: team=mergers usd month' }],
    attempts: [],
    snapshot: { config: { hash: 'h' } },
  }
  const plan = {
    order: [target('p/a')],
    skipped: [
      { target: target('p/b'), reason: 'not allowed: role intern: regions: region "us" is not granted' },
      { target: target('p/c'), reason: 'condition is false: headers["x-vip"] == "open sesame"' },
      { target: target('p/d'), reason: 'no vision' },
    ],
    note: '',
  }
  const match = { route: { name: 'fast', origin: 'models', strategy: 'weighted' } }
  const text = explainHeader(x as unknown as Exchange, match as RouteMatch, plan as unknown as Plan)
  expect(text).not.toMatch(/intern|granted|sesame|mergers/)
  expect(JSON.parse(text)).toMatchObject({
    skipped: [
      { target: 'p/b', reason: 'not allowed' },
      { target: 'p/c', reason: 'condition is false' },
      { target: 'p/d', reason: 'no vision' },
    ],
    passed_over: ['p/full'],
  })
})
