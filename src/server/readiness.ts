import type { HeddleConfig } from '../contracts/config.ts'
import type { HealthTable } from '../routing/health.ts'
import { slotKey } from './compile.ts'

/** One word that all threads of the process see: who sets it need not tell them. */
export const Flag = {
  /** Outbound work has not begun: the mesh's proxy is waited for. */
  held: 1,
  /** The proxy is there and says that it is not ready. */
  proxyUnready: 2,
  draining: 4,
  /** A newer configuration could not be used. */
  stale: 8,
  /** There is no certificate of this workload, and it is needed. */
  uncertified: 16,
} as const

export class Flags {
  readonly buffer: SharedArrayBuffer
  readonly #bits: Int32Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.buffer = buffer
    this.#bits = new Int32Array(buffer)
  }

  set(flag: number, on: boolean): void {
    if (on) Atomics.or(this.#bits, 0, flag)
    else Atomics.and(this.#bits, 0, ~flag)
  }

  has(flag: number): boolean {
    return (Atomics.load(this.#bits, 0) & flag) !== 0
  }
}

export interface TargetView {
  readonly health: HealthTable
  readonly slots: Readonly<Record<string, number>>
}

/** Required models of which no target can be used now. */
export function modelsWithoutTarget(config: HeddleConfig, { health, slots }: TargetView, now: number): string[] {
  if (config.server.requiredModels.length === 0) return []
  const providers = new Map(config.providers.map((p) => [p.name, p]))
  return config.server.requiredModels.filter((name) => {
    const model = config.models.find((m) => m.name === name || m.aliases.includes(name))
    return !model?.targets.some((target) => {
      if (target.shadow !== null) return false
      const key = slotKey(providers.get(target.provider)!, `${target.provider}/${target.model ?? '*'}`)
      const { deadUntil, ejectedUntil } = health.slot(slots[key]!, model.breaker)
      return deadUntil <= now && ejectedUntil <= now
    })
  })
}

/**
 * Why the process is not to be sent requests; empty = it is ready. One rule for the port of the API and the admin port.
 * names: the models may be named (to operators only).
 */
export function whyUnready(
  flags: Flags,
  config: HeddleConfig,
  targets: TargetView,
  now: number,
  names: boolean,
): readonly string[] {
  const reasons: string[] = []
  if (flags.has(Flag.draining)) reasons.push('shutting down')
  if (flags.has(Flag.held) && !flags.has(Flag.uncertified)) reasons.push('waiting for the proxy of the mesh')
  else if (flags.has(Flag.proxyUnready)) reasons.push('the proxy of the mesh is not ready')
  if (flags.has(Flag.uncertified)) reasons.push('no valid certificate of this workload')
  for (const model of modelsWithoutTarget(config, targets, now))
    reasons.push(names ? `no target of \`${model}\` can be used` : 'no target of a required model can be used')
  return [...new Set(reasons)]
}
