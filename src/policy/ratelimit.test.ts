import { expect, test } from 'vitest'
import { create } from '@bufbuild/protobuf'
import type { Lease } from '../contracts/admission.ts'
import { Leases } from '../pipeline/leases.ts'
import { Snapshot } from '../pipeline/snapshot.ts'
import { RateLimitRequestSchema, type RateLimitResponse } from '../protocol/grpc/gen/ratelimit_pb.ts'
import { DOMAIN, PHASE, rateLimitHandler, TICKET, type RateLimitParts } from './ratelimit.ts'

const ask = (handler: ReturnType<typeof rateLimitHandler>, entries: Readonly<Record<string, string>>) =>
  new Promise<RateLimitResponse>((resolve, reject) => {
    const descriptor = { entries: Object.entries(entries).map(([key, value]) => ({ key, value })) }
    const request = create(RateLimitRequestSchema, { domain: DOMAIN, descriptors: [descriptor] })
    const fail = (_code: number, message: string): void => reject(new Error(message))
    handler({ cancelled: false, listener: null, answer: resolve, fail }, request)
  })

test('a configuration that is replaced while limits are waited for lasts until its call is over', async () => {
  let disposed = 0
  const waited = Promise.withResolvers<Lease>()
  const settled: unknown[] = []
  const lease = { addHeaders: () => {}, settle: (amounts: unknown) => void settled.push(amounts) } as unknown as Lease
  const table = { match: () => ({ route: { name: 'm', targets: [{}] } }) }
  const policies = { limiter: { admit: () => waited.promise }, pricing: { charge: () => ({ nanoUsd: 0 }), learn() {} } }
  const snapshot = new Snapshot(
    ...([{}, table, policies, 0, () => disposed++] as unknown as ConstructorParameters<typeof Snapshot>),
  )
  const clock = { monotonic: () => 0 }
  const leases = new Leases(clock as never, () => 1000)
  const parts = {
    services: { clock, current: () => snapshot, log: () => {} },
    gate: { refusal: () => null },
    inflight: () => {},
    decided: () => {},
    leases,
  } as unknown as RateLimitParts
  const handler = rateLimitHandler(parts)
  const asked = ask(handler, { [PHASE]: 'check', model: 'm' })
  snapshot.release()
  expect(disposed).toBe(0)
  waited.resolve(lease)
  const ticket = (await asked).dynamicMetadata?.['ticket']
  expect(disposed).toBe(0)
  await ask(handler, { [PHASE]: 'done', [TICKET]: String(ticket) })
  expect([disposed, settled.length, leases.size]).toEqual([1, 1, 0])
})

test('limits that refuse later let go of it as well', async () => {
  let disposed = 0
  const waited = Promise.withResolvers<Lease>()
  const policies = { limiter: { admit: () => waited.promise } }
  const table = { match: () => null }
  const snapshot = new Snapshot(
    ...([{}, table, policies, 0, () => disposed++] as unknown as ConstructorParameters<typeof Snapshot>),
  )
  const clock = { monotonic: () => 0 }
  const parts = {
    services: { clock, current: () => snapshot, log: () => {} },
    gate: { refusal: () => null },
    inflight: () => {},
    decided: () => {},
    leases: new Leases(clock as never, () => 1000),
  } as unknown as RateLimitParts
  const asked = ask(rateLimitHandler(parts), { model: 'm' })
  snapshot.release()
  waited.reject(new Error('no more'))
  await asked
  expect(disposed).toBe(1)
})
