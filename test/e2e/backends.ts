/** A gateway before every kind of backend that the simulator speaks: what SDKs of all vendors are tried against. */
import { startSim, type Sim } from '../../src/sim/index.ts'
import { startGateway } from '../support/gateway.ts'

/** What a client's request goes to, as `PROVIDER/MODEL`: a model of today that the vendor has. */
export const BACKENDS = {
  openai: 'openai/gpt-4o-mini',
  responses: 'responses/gpt-5-mini',
  anthropic: 'anthropic/claude-opus-4-5',
  gemini: 'gemini/gemini-2.5-flash',
  bedrock: 'bedrock/anthropic.claude-opus-4-5-20251101-v1:0',
  ollama: 'ollama/gpt-oss:20b',
  cohere: 'cohere/command-a-03-2025',
} as const

/** The same by names that look like Google's: some clients only send images to those. */
export const asGemini = (backend: BackendName): string => `gemini-2.5-flash-at-${backend}`

export type BackendName = keyof typeof BACKENDS

/** A model's name with a fault of the simulator. */
export const faulty = (backend: BackendName, fault: string): string => `${BACKENDS[backend]}~${fault}`

export interface Backends {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly sim: Sim
  close(): Promise<void>
}

/** more: YAML that is appended. */
export async function startBackends(more = ''): Promise<Backends> {
  const sim = await startSim({ port: 0 })
  const origin = `http://127.0.0.1:${sim.port}`
  const key = 'api_key: sk-sim-e2e, class: mesh'
  const gateway = await startGateway(`
providers:
  openai: { type: openai, base_url: "${origin}/v1", ${key} }
  responses: { type: openai_compatible, base_url: "${origin}/v1", operations: [responses, passthrough], wire: openai.responses, ${key} }
  anthropic: { type: anthropic, base_url: "${origin}/v1", ${key} }
  gemini: { type: gemini, base_url: "${origin}/v1beta", operations: [generate_content, passthrough], ${key} }
  bedrock: { type: bedrock, base_url: "${origin}", ${key} }
  ollama: { type: openai_compatible, base_url: "${origin}", operations: [passthrough], wire: ollama.chat, class: mesh }
  cohere: { type: openai_compatible, base_url: "${origin}/v2", operations: [passthrough], wire: cohere.chat, ${key} }
defaults:
  breaker: { enabled: false }
  retries: { max_attempts: 1 }
models:
${Object.entries(BACKENDS)
  .map(([name, model]) => `  ${asGemini(name as BackendName)}: "${model}"`)
  .join('\n')}
${more}`)
  return {
    url: gateway.url,
    sim,
    close: async () => {
      await gateway.stop()
      await sim.close()
    },
  }
}
