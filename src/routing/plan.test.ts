import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Target } from '../contracts/routing.ts'
import { AS_IT_IS, planTargets, stickyKey } from './plan.ts'
import { factsOf, routeOf, targetsOf } from './routing-fixture.ts'

const NOW = 100_000
const names = (targets: readonly Target[]): string[] => targets.map((t) => t.name)
const plan = (
  targets: readonly Target[],
  more: Parameters<typeof routeOf>[1] = {},
  facts = factsOf(),
  random = Math.random,
) => planTargets({ route: routeOf(targets, more), facts, now: NOW, random })
const eject = (target: Target, at = NOW): void => {
  for (let i = 0; i < 5; i++) {
    target.health.begin()
    target.health.end('failure', -1, at)
  }
}
const make = (specs: readonly Partial<Target>[]): Target[] => targetsOf(specs, () => NOW)
const thrown = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

describe('what a wire cannot carry', () => {
  const carrying = (lacks: Readonly<Record<string, string>>) => {
    const targets = make([{}, {}])
    return () =>
      planTargets({
        route: routeOf(targets, {}),
        facts: factsOf(),
        now: NOW,
        random: () => 0.5,
        uncarried: ({ name }) => lacks[name] ?? null,
      })
  }

  test('leaves a target out while another can', () => {
    const { order, skipped } = carrying({ 'p/0': 'logprobs' })()
    expect(names(order)).toEqual(['p/1'])
    expect(skipped.map(({ reason }) => reason)).toEqual(['cannot carry logprobs'])
  })

  test('is named when no target can', () => {
    expect(thrown(carrying({ 'p/0': 'seed', 'p/1': 'logprobs' }))).toMatchObject({
      code: 'unsupported_parameter',
      param: 'seed',
      message: expect.stringContaining("'seed'") as string,
    })
  })

  test('says what to do where nothing may be translated', () => {
    const error = thrown(carrying({ 'p/0': AS_IT_IS, 'p/1': AS_IT_IS }))
    expect(error).toMatchObject({
      code: 'unsupported_parameter',
      message: expect.stringContaining('ext_proc') as string,
    })
  })
})

describe('rest', () => {
  test('dead and busy are left out and named, ejected within the allowed share', () => {
    const targets = make([{}, {}, {}, {}])
    targets[0]!.health.dead(NOW + 5000)
    targets[1]!.health.busy(NOW + 5000)
    eject(targets[2]!)
    const { order, skipped } = plan(targets)
    expect(names(order)).toEqual(['p/3'])
    expect(skipped.map((s) => s.reason)).toEqual([
      'credentials refused, rests 5 s',
      'rate limited, rests 5 s',
      'ejected, rests 5 s',
    ])
  })

  test('beyond the share those that rest longest already stay, last', () => {
    const targets = make([{}, {}, {}])
    eject(targets[0]!, NOW - 1000)
    eject(targets[1]!, NOW - 2000)
    eject(targets[2]!, NOW)
    expect(names(plan(targets).order)).toEqual(['p/1', 'p/0'])
  })

  test('the only target of a model is never ejected, with a condition neither, whatever share is allowed', () => {
    for (const spec of [{}, { when: { source: 'true', evaluate: () => true } }]) {
      const targets = make([spec])
      eject(targets[0]!)
      for (const maxEjectedShare of [0, 0.5, 1]) {
        expect(names(plan(targets, { breaker: { ...routeOf([]).breaker, maxEjectedShare } }).order)).toEqual(['p/0'])
      }
    }
  })

  test.each([
    ['busy', 'upstream_rate_limited', (t: Target, i: number) => t.health.busy(NOW + 3000 + i * 1000), 3000],
    ['dead', 'upstream_auth', (t: Target) => t.health.dead(NOW + 3000), undefined],
    ['ejected', 'upstream_unavailable', (t: Target) => eject(t), 5000],
  ] as const)('all %s: the error says how long', (_name, code, rest, retryAfterMs) => {
    const targets = make([{}, {}])
    targets.forEach(rest)
    expect(thrown(() => plan(targets, { breaker: { ...routeOf([]).breaker, maxEjectedShare: 1 } }))).toMatchObject({
      code,
      retryAfterMs,
    })
  })
})

describe('fit', () => {
  test.each([
    ['tools', { tools: true }, { tools: false }],
    ['vision', { vision: true }, { vision: false }],
    ['audio', { audio: true }, { audio: false }],
    ['json_schema', { jsonSchema: true }, { jsonSchema: false }],
    ['context', { promptTokens: 11 }, { contextWindow: 10 }],
    ['answer', { maxTokens: 11 }, { maxOutputTokens: 10 }],
  ])('%s: false leaves out, unknown does not', (_name, needs, capabilities) => {
    const targets = make([{ capabilities }, {}])
    expect(names(plan(targets, {}, factsOf(needs)).order)).toEqual(['p/1'])
    expect(names(plan(targets).order)).toEqual(['p/0', 'p/1'])
  })

  test('nothing fits: the prompt is too long, or a parameter is not supported', () => {
    const small = make([{ capabilities: { contextWindow: 10 } }, { capabilities: { contextWindow: 20 } }])
    expect(thrown(() => plan(small, {}, factsOf({ promptTokens: 30 })))).toMatchObject({
      code: 'context_length_exceeded',
      status: 400,
      param: 'messages',
    })
    const mute = make([{ capabilities: { tools: false } }])
    expect(thrown(() => plan(mute, {}, factsOf({ tools: true })))).toMatchObject({
      code: 'unsupported_parameter',
      message: expect.stringContaining('no tools'),
    })
  })
})

const specs = fc.array(
  fc.record({
    weight: fc.constantFrom(0, 0.5, 1, 10),
    priority: fc.constantFrom(0, 1, 2),
    canary: fc.constantFrom(0, 0.3, 1),
    price: fc.constantFrom(null, { input: 1, output: 2 }, { input: 2, output: 1 }),
  }),
  { minLength: 1, maxLength: 6 },
)
const strategies = fc.constantFrom('priority', 'weighted', 'least_busy', 'lowest_latency', 'lowest_cost' as const)

describe('order', () => {
  test('every strategy orders all that are ready, each once, by priority', () => {
    fc.assert(
      fc.property(
        specs,
        strategies,
        fc.boolean(),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (all, strategy, sticky, stream) => {
          const targets = make(all)
          const random = (): number => stream.next().value as number
          const { order } = plan(
            targets,
            { strategy, sticky: sticky ? 'user' : null },
            factsOf({}, { json: () => ({ user: 'ann' }) }),
            random,
          )
          expect(names(order).toSorted()).toEqual(names(targets).toSorted())
          const plain = order.filter((t) => t.canary === 0).map((t) => t.priority)
          expect(plain).toEqual(plain.toSorted((x, y) => x - y))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('sticky keys move only when their own target goes', () => {
    const targets = make([{}, {}, {}, {}])
    const home = (list: readonly Target[], user: string): string =>
      plan(list, { strategy: 'weighted', sticky: 'user' }, factsOf({}, { json: () => ({ user }) })).order[0]!.name
    const users = Array.from({ length: 400 }, (_, i) => `user-${i}`)
    const before = new Map(users.map((user) => [user, home(targets, user)]))
    const gone = targets[2]!
    const left = targets.filter((t) => t !== gone)
    for (const user of users) if (before.get(user) !== gone.name) expect(home(left, user)).toBe(before.get(user))
    for (const target of targets)
      expect(users.filter((user) => before.get(user) === target.name).length).toBeGreaterThan(60)
  })

  test('sticky homes follow the weights', () => {
    const targets = make([{ weight: 3 }, { weight: 1 }, { weight: 0 }])
    const homes = Array.from(
      { length: 2000 },
      (_, i) =>
        plan(targets, { strategy: 'weighted', sticky: 'user' }, factsOf({}, { json: () => ({ user: `u${i}` }) }))
          .order[0]!.name,
    )
    const share = homes.filter((name) => name === 'p/0').length / homes.length
    expect(share).toBeGreaterThan(0.7)
    expect(share).toBeLessThan(0.8)
    expect(homes).not.toContain('p/2')
  })
})

describe('sticky keys', () => {
  const of = (rule: string, body: Record<string, unknown>, headers: Record<string, string> = {}) =>
    stickyKey(rule, factsOf({}, { json: () => body, header: (name) => headers[name] }))
  test('by what the rule names', () => {
    expect(of('header:x-a', {}, { 'x-a': '1' })).toBe('1')
    expect(of('user', { user: 'u' })).toBe('u')
    expect(of('user', { safety_identifier: 's' })).toBe('s')
    expect(of('metadata:k', { metadata: { k: 'v' } })).toBe('v')
    for (const metadata of [null, 5, [], { k: 7 }, undefined]) expect(of('metadata:k', { metadata })).toBeUndefined()
    for (const user of [null, 5, '', {}]) expect(of('user', { user })).toBeUndefined()
  })

  test('a prefix is the same over the turns of a conversation', () => {
    const first = { role: 'user', content: 'a' }
    const key = of('prefix', { messages: [{ role: 'system', content: 's' }, first] })
    expect(
      of('prefix', {
        messages: [
          { role: 'system', content: 's' },
          first,
          { role: 'assistant', content: 'b' },
          { role: 'user', content: 'c' },
        ],
      }),
    ).toBe(key)
    expect(of('prefix', { messages: [{ role: 'system', content: 't' }, first] })).not.toBe(key)
    expect(of('prefix', { prompt_cache_key: 'k', messages: [first] })).toBe('k')
    expect(of('prefix', {})).toBeUndefined()
  })

  test('no body breaks it', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom('messages', 'input', 'prompt', 'metadata', 'user'),
          fc.json().map((t) => JSON.parse(t) as unknown),
        ),
        fc.constantFrom('prefix', 'user', 'metadata:k'),
        (body, rule) => void of(rule, body),
      ),
    )
  })
})
