import { expect, test } from 'vitest'
import type { Lease } from '../contracts/admission.ts'
import type { Grant, Ticket } from '../contracts/capacity.ts'
import type { Target } from '../contracts/routing.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'
import { askPermit } from './permit.ts'

const target = { name: 'p/m' } as Target

/** A request whose target has one place and one limit; both tell how often they were given back. */
const setUp = (admit: (lease: Lease) => Lease | Promise<Lease>) => {
  const ended: number[] = []
  const settled: number[] = []
  const failed: GatewayError[] = []
  const grant: Grant = { answered: () => {}, end: (tokens) => void ended.push(tokens) }
  const lease: Lease = {
    addHeaders: () => {},
    settle: ({ inputTokens }) => void settled.push(inputTokens),
    extend: () => true,
    wouldRefuse: [],
  }
  const x = {
    over: false,
    principal: {},
    received: {},
    match: null,
    account: { expected: { inputTokens: 1, outputTokens: 1, nanoUsd: 0 }, expectedAt: () => ({}) },
    limiter: { byTarget: true, admit: () => admit(lease) },
    snapshot: {
      policies: {
        gate: { enter: () => grant },
        ticketOf: () => ({ tenant: '', weight: 1, priority: 0 }),
      },
    },
    fail(error: GatewayError) {
      failed.push(error)
      x.over = true
    },
  }
  return { x: x as unknown as Exchange & { over: boolean }, ended, settled, failed }
}

const ask = (x: Exchange, start: () => void): unknown =>
  askPermit(x, target, { model: 'm', mayWait: false, start, refused: () => expect.fail('refused') })

test('what fails in the call that has been permitted reaches who asked, and gives all back', () => {
  const { x, ended, settled } = setUp((lease) => lease)
  const broken = (): void => {
    throw new Error('a fault of ours')
  }
  expect(() => ask(x, broken)).toThrow('a fault of ours')
  expect([ended, settled]).toEqual([[0], [0]])
})

test('the same after the limits were waited for: the request fails', async () => {
  const { x, ended, settled, failed } = setUp((lease) => Promise.resolve(lease))
  ask(x, () => {
    throw new Error('a fault of ours')
  })
  await Promise.resolve()
  await Promise.resolve()
  expect(failed.map(({ code }) => code)).toEqual(['internal'])
  expect([ended, settled]).toEqual([[0], [0]])
})

test('a permit that comes when the request is over is given back, although nobody cancelled the asking', async () => {
  const answer = Promise.withResolvers<Lease>()
  const { x, ended, settled } = setUp((lease) => answer.promise.then(() => lease))
  ask(x, () => expect.fail('started'))
  x.over = true
  answer.resolve({} as Lease)
  await new Promise((resolve) => setImmediate(resolve))
  expect([ended, settled]).toEqual([[0], [0]])
})

test('what can wait goes behind what others of its tenant ask, and never before it', () => {
  for (const [asked, own, expected] of [
    [100, 0, 100],
    [100, 200, 200],
    [undefined, 5, 5],
  ] as const) {
    const { x } = setUp((lease) => lease)
    const tickets: Ticket[] = []
    Object.assign(x, { received: { priority: asked } })
    Object.assign(x.snapshot.policies, {
      ticketOf: () => ({ tenant: '', weight: 1, priority: own }),
      gate: {
        enter(_target: Target, ticket: Ticket) {
          tickets.push(ticket)
          return null
        },
      },
    })
    ask(x, () => {})
    expect(tickets.map(({ priority }) => priority)).toEqual([expected])
  }
})
