import { resolve } from 'node:path'
import { ConfigError, loadConfig, maskedConfig } from '../config/index.ts'
import type { HeddleConfig, ModelConfig } from '../contracts/config.ts'
import type { MeshConfig } from '../contracts/config-mesh.ts'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'
import { EXIT, textFlag } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import { findConfig } from './find-config.ts'
import type { Io } from './io.ts'
import { plural, printProblems } from './problems.ts'

const features = (model: ModelConfig): string => {
  const { sticky, fallbacks, hedge, continuation, targets, strategy } = model
  const fallbackCount = new Set([...fallbacks.any, ...fallbacks.contextWindow, ...fallbacks.contentPolicy]).size
  const parts = [
    strategy === 'priority' ? '' : strategy,
    sticky === null ? '' : `sticky by ${sticky.by}`,
    targets.some((target) => target.canary !== null) ? 'canary' : '',
    targets.some((target) => target.shadow !== null) ? 'shadow' : '',
    targets.some((target) => target.when !== null) ? 'conditions' : '',
    fallbackCount === 0 ? '' : plural(fallbackCount, 'fallback'),
    hedge === null ? '' : 'hedged',
    continuation ? 'continuation' : '',
  ]
  const text = parts.filter((part) => part !== '').join(', ')
  return text === '' ? '' : `  (${text})`
}

const summary = (config: HeddleConfig, source: string | null): string => {
  const { server, providers, models } = config
  const width = Math.max(
    0,
    ...providers.map((provider) => provider.name.length),
    ...models.map((model) => model.name.length),
  )
  const lines = [
    `${source ?? 'environment'}: ok, configuration ${config.hash}`,
    `listens on ${server.host}:${server.port}, admin on ${server.adminHost}:${server.adminPort}`,
    '',
    plural(providers.length, 'provider'),
    ...providers.map(({ name, type, baseUrl, apiKey, credentials }) => {
      return `  ${name.padEnd(width)}  ${type}  ${baseUrl}${apiKey === null && credentials === null ? '  (no key)' : ''}`
    }),
    '',
    plural(models.length, 'model'),
    ...models.map((model) => {
      const targets = model.targets.map((target) => `${target.provider}/${target.model ?? model.name}`)
      return `  ${model.name.padEnd(width)}  ${targets.join(', ')}${features(model)}`
    }),
  ]
  return `${lines.join('\n')}\n`
}

interface Checked {
  readonly code: number
  /** Null = the configuration says nothing that can be relied on. */
  readonly mesh: MeshConfig | null
}

const check = (args: ParsedArgs, io: Io): Checked => {
  const given = args.positional[0] ?? textFlag(COMMANDS.check, args, 'config', io.env)
  const source = findConfig(given, io)
  const json = args.flags.has('json')
  try {
    const { config } = loadConfig(source === null ? null : resolve(io.cwd, source), {
      presets: PRESETS,
      facts: modelFacts,
      prices: modelPrices,
      env: io.env,
    })
    const full = args.flags.has('print') ? maskedConfig(config) : undefined
    if (json) {
      const { hash, providers, models } = config
      const names = { providers: providers.map(({ name }) => name), models: models.map(({ name }) => name) }
      const result = { ok: true, source, hash, ...names, ...(full === undefined ? {} : { config: full }) }
      io.out(`${JSON.stringify(result, null, 2)}\n`)
    } else {
      io.out(summary(config, source))
      if (full !== undefined) io.out(`\n${JSON.stringify(full, null, 2)}\n`)
    }
    return { code: EXIT.ok, mesh: config.mesh }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    if (json) io.out(`${JSON.stringify({ ok: false, source, problems: error.problems }, null, 2)}\n`)
    else printProblems(error, io)
    return { code: EXIT.config, mesh: null }
  }
}

/** For a Job whose configuration is so wrong that it cannot say whether the proxy is to end with it. */
const SHUTDOWN = 'HEDDLE_MESH_PROXY_SHUTDOWN'

/**
 * `heddle check`: problems like a compiler's, or what the configuration turns on. In a pod whose proxy would run on for
 * ever it ends that too, when asked to.
 */
export const checkCommand = async (args: ParsedArgs, io: Io): Promise<number> => {
  const { code, mesh } = check(args, io)
  if (mesh?.proxyShutdown === true || io.env[SHUTDOWN] === 'true') {
    const { endProxy } = await import('../mesh/shutdown.ts')
    const { meshPorts } = await import('../mesh/detect.ts')
    const ended = await endProxy({ kind: mesh?.kind ?? 'auto', ports: meshPorts(io.env) })
    if (ended === null) io.err('heddle: no proxy of a mesh obeyed the request to end\n')
  }
  return code
}
