import { expect, test, vi } from 'vitest'
import type { Amounts } from '../contracts/admission.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { Account } from './account.ts'

const streamOf = (nanoUsd: number) =>
  ({
    record: { nanoUsd },
    answerTokens: () => 100,
    limited: false,
    extendPermit: () => true,
  }) as unknown as Attempt

test('what a call that broke off has used is counted once while the answer goes on without it', () => {
  const pricing = { charge: () => ({ nanoUsd: 1 }) }
  const account = new Account({
    match: null,
    operation: 'chat',
    snapshot: { policies: { pricing } },
  } as unknown as Exchange)
  const extend = vi.fn<(total: Amounts) => boolean>(() => false)
  account.lease = { extend } as unknown as NonNullable<Account['lease']>
  account.outputTokens = 100
  expect(account.keepUp(streamOf(5))).toBe(true)
  expect(extend).not.toHaveBeenCalled()
  expect(account.keepUp(streamOf(-1))).toBe(false)
  expect(extend.mock.calls[0]?.[0].outputTokens).toBe(200)
})
