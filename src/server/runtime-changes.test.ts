import { expect, test } from 'vitest'
import type { LimitOverride } from '../ratelimit/overrides.ts'
import type { Change } from './messages.ts'
import { RuntimeChanges } from './runtime-changes.ts'
import type { ChangeStore } from './runtime-changes.ts'

/** Redis as far as changes go. */
class FakeStore implements ChangeStore {
  revoked = new Set<string>()
  overrides = new Map<string, LimitOverride>()
  down = false
  /** Called between the asking and the answer of a read. */
  onRead = (): void => {}
  #expectUp(): void {
    if (this.down) throw new Error('away')
  }
  async readRevocations(): Promise<readonly string[] | null> {
    const seen = [...this.revoked]
    this.onRead()
    return Promise.resolve(this.down ? null : seen)
  }
  async readOverrides(): Promise<ReadonlyMap<string, LimitOverride> | null> {
    return Promise.resolve(this.down ? null : new Map(this.overrides))
  }
  async writeRevocation(id: string, revoked: boolean): Promise<void> {
    this.#expectUp()
    if (revoked) this.revoked.add(id)
    else this.revoked.delete(id)
    return Promise.resolve()
  }
  async writeOverride(key: string, override: LimitOverride | null): Promise<void> {
    this.#expectUp()
    if (override === null) this.overrides.delete(key)
    else this.overrides.set(key, override)
    return Promise.resolve()
  }
  lose(): void {
    this.revoked.clear()
    this.overrides.clear()
  }
}

const revoke = (id: string, revoked = true): Change => ({ kind: 'revoke', id, revoked })
const limit = (amount: number): Change => ({
  kind: 'change',
  change: { limit: 'a', scope: null, unit: 'requests', period: null, amount, until: null },
})

test('two replicas: a key is revoked at one and given back at the other', async () => {
  const redis = new FakeStore()
  const [one, two] = [new RuntimeChanges(), new RuntimeChanges()]
  one.apply(revoke('k'))
  one.apply(limit(5))
  await one.share(redis)
  await one.share(redis)
  expect(await two.share(redis)).toBe(true)
  expect(two.revocations.snapshot().added).toEqual(['k'])
  expect(two.overrides.all.map(({ amount }) => amount)).toEqual([5])
  two.apply(revoke('k', false))
  await two.share(redis)
  await one.share(redis)
  expect(one.revocations.has('k')).toBe(false)
})

test('what was revoked before there was Redis is revoked with it', async () => {
  const redis = new FakeStore()
  const changes = new RuntimeChanges()
  changes.apply(revoke('k'))
  await changes.share(redis)
  await changes.share(redis)
  expect(changes.revocations.has('k')).toBe(true)
  expect(redis.revoked.has('k')).toBe(true)
})

test('a Redis that comes back empty, or is another one, is told all', async () => {
  const redis = new FakeStore()
  const [one, two] = [new RuntimeChanges(), new RuntimeChanges()]
  one.apply(revoke('k'))
  one.apply(limit(5))
  for (const changes of [one, two, one, two]) await changes.share(redis)
  redis.lose()
  // A replica that begins just now knows nothing, and must not speak for the others.
  const late = new RuntimeChanges()
  for (const changes of [late, late, two, one, late, two, one]) await changes.share(redis)
  for (const changes of [one, two, late]) {
    expect(changes.revocations.snapshot().added).toEqual(['k'])
    expect(changes.overrides.all).toHaveLength(1)
  }
  const other = new FakeStore()
  for (let i = 0; i < 3; i++) await one.share(other)
  expect([one.revocations.has('k'), other.revoked.has('k'), other.overrides.size]).toEqual([true, true, 1])
})

test('while Redis is away all stays, and it is told later', async () => {
  const redis = new FakeStore()
  const changes = new RuntimeChanges()
  for (let i = 0; i < 2; i++) await changes.share(redis)
  redis.down = true
  changes.apply(revoke('k'))
  await changes.share(redis)
  expect(changes.revocations.has('k')).toBe(true)
  redis.down = false
  await changes.share(redis)
  expect([changes.revocations.has('k'), redis.revoked.has('k')]).toEqual([true, true])
})

test('an answer from before a change does not undo it', async () => {
  const redis = new FakeStore()
  const changes = new RuntimeChanges()
  for (let i = 0; i < 2; i++) await changes.share(redis)
  redis.onRead = () => {
    redis.onRead = () => {}
    changes.apply(revoke('k'))
    // Another share() has told it before this read is answered.
    void changes.share(redis)
  }
  await changes.share(redis)
  expect(changes.revocations.has('k')).toBe(true)
})

test('what a worker is told at its begin is not told again', async () => {
  const redis = new FakeStore()
  const [one, two] = [new RuntimeChanges(), new RuntimeChanges()]
  for (let i = 0; i < 2; i++) await one.share(redis)
  two.resume(revoke('k'))
  // Given back at another replica meanwhile: Redis knows better.
  await two.share(redis)
  expect([two.revocations.has('k'), redis.revoked.has('k')]).toEqual([false, false])
})
