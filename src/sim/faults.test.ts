import { describe, expect, it } from 'vitest'
import { createFaultGate, FAULTS, FaultSpecError, NO_FAULTS, parseFaults, splitModel } from './faults.ts'

describe('fault specs', () => {
  it('reads names, arguments and defaults, in both notations', () => {
    expect([...parseFaults('stall_after=3; crlf ;status')]).toEqual([
      ['stall_after', '3'],
      ['crlf', ''],
      ['status', '500'],
    ])
    expect(splitModel('org/sim~status=503~times=2')).toEqual({
      model: 'org/sim',
      faults: new Map([
        ['status', '503'],
        ['times', '2'],
      ]),
    })
    expect(splitModel('plain').faults).toBe(NO_FAULTS)
  })

  it.each([
    'nope',
    'status=abc',
    'status=99',
    'crlf=1',
    'prob=2',
    'rate_limit=soon',
    'delay_first=-1',
    'overloaded_body=404',
  ])('refuses %s', (spec) => {
    expect(() => parseFaults(spec)).toThrow(FaultSpecError)
  })

  it('lists each fault once, with a default that it accepts', () => {
    expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length)
    for (const { name, argument, fallback, help } of FAULTS) {
      expect(parseFaults(name).get(name)).toBe(fallback ?? '')
      expect(argument === 'none').toBe(fallback === undefined)
      expect(help).not.toContain('\n')
    }
  })
})

describe('fault gate', () => {
  it('lets `times` pass for the first requests of a model and spec', () => {
    const gate = createFaultGate(1)
    const faults = parseFaults('status=500;times=2')
    const pass = (model: string): boolean => gate.pass(model, faults).has('status')
    expect([pass('a'), pass('a'), pass('a'), pass('b')]).toEqual([true, true, false, true])
    gate.reset()
    expect(pass('a')).toBe(true)
  })

  it('lets `prob` pass a share, the same for the same seed', () => {
    const faults = parseFaults('status=500;prob=0.3')
    const run = (seed: number): boolean[] => {
      const gate = createFaultGate(seed)
      return Array.from({ length: 2000 }, () => gate.pass('a', faults).size > 0)
    }
    expect(run(7)).toEqual(run(7))
    const share = run(7).filter(Boolean).length / 2000
    expect(share).toBeGreaterThan(0.25)
    expect(share).toBeLessThan(0.35)
  })
})
