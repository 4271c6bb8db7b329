// Runs the fuzzers against one gateway in this process.
import { Agent } from 'node:http'
import { startSim } from '../../src/sim/index.ts'
import { call } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { damagedBackend, fuzzAnswer } from './answers.ts'
import { fuzzBody } from './bodies.ts'
import { fuzzFraming } from './framing.ts'
import { fuzzIdentity, IDENTITY_RULES } from './identity.ts'
import { Chance } from './random.ts'

export type FuzzKind = 'framing' | 'bodies' | 'answers' | 'identity'

export interface FuzzResult {
  readonly cases: number
  /** Each names the seed that repeats it. */
  readonly failures: readonly string[]
}

const PARALLEL = { framing: 64, bodies: 8, answers: 16, identity: 16 } as const

/** Runs seeds from, from+1, … while more(done) says so; stops after ten failures. */
export async function fuzz(kind: FuzzKind, from: number, more: (done: number) => boolean): Promise<FuzzResult> {
  const sim = await startSim()
  const backend = await damagedBackend()
  const gateway = await startGateway(`
server:
  log: { level: silent, access: false }
  limits: { header_timeout: 1s, body_timeout: 1s }
providers:
  a: { type: openai_compatible, base_url: "${kind === 'answers' ? backend.url : sim.url}" }
models: { m: a/sim-chat, root-only: a/sim-chat }
defaults:
  timeouts: { first_token: 400ms, idle: 400ms, attempt: 800ms, total: 2s }
  retries: { max_attempts: 1 }
  breaker: { enabled: false }
${kind === 'identity' ? IDENTITY_RULES : ''}`)
  const agent = new Agent({ keepAlive: true, maxSockets: PARALLEL[kind] })
  const failures: string[] = []
  let next = from
  const one = async (seed: number): Promise<void> => {
    if (kind === 'answers') return fuzzAnswer(seed, { url: gateway.url, agent, backend })
    const id = `case-${seed}-`
    if (kind === 'bodies') return fuzzBody(new Chance(seed), id, { url: gateway.url, agent, received: sim.received })
    if (kind === 'identity') return fuzzIdentity(new Chance(seed), gateway)
    return fuzzFraming(new Chance(seed), id, { port: Number(new URL(gateway.url).port), received: sim.received })
  }
  const lane = async (): Promise<void> => {
    while (failures.length < 10 && more(next - from)) {
      const seed = next++
      await one(seed).catch((error: unknown) =>
        failures.push(`${kind} seed ${seed}: ${error instanceof Error ? error.message : String(error)}`),
      )
    }
  }
  await Promise.all(Array.from({ length: PARALLEL[kind] }, lane))
  const healthy = await call(`${gateway.url}/v1/models`)
  if (healthy.status !== (kind === 'identity' ? 401 : 200))
    failures.push(`${kind}: afterwards the gateway answers ${healthy.status}`)
  if ((await gateway.metric('heddle_requests_total', { outcome: 'internal' })) > 0)
    failures.push(`${kind}: internal errors`)
  agent.destroy()
  backend.close()
  await gateway.stop()
  await sim.close()
  return { cases: next - from, failures }
}
