/** The text at start: what is on, what is not and why, and a line to paste. Pure: facts in, text out. */
import type { HeddleConfig, ProviderPreset } from '../contracts/config.ts'

export interface BannerFacts {
  readonly version: string
  readonly config: HeddleConfig
  /** The file or folder, or null for zero configuration. */
  readonly source: string | null
  /** Where the API and the admin API really listen (port 0 resolved). */
  readonly url: string
  /** null = no TLS listener. */
  readonly tlsUrl: string | null
  readonly adminUrl: string
  readonly presets: readonly ProviderPreset[]
  readonly workers: number
}

interface Row {
  readonly name: string
  readonly state: 'on' | 'off'
  readonly note: string
}

const patterns = (list: readonly string[]): string => {
  if (list.length === 0) return ''
  const shown = list.slice(0, 4).join(', ')
  return list.length > 4 ? `${shown}, …` : shown
}

/** Presets that are off, and what would turn them on; with a configuration file only what is on is of interest. */
const offRows = ({ config, presets }: BannerFacts): readonly Row[] => {
  if (!config.zeroConfig) return []
  const on = new Set(config.providers.map((provider) => provider.type))
  return presets
    .filter((preset) => !on.has(preset.name))
    .map((preset) => {
      const variable = preset.keyRequired ? preset.keyEnv[0] : (preset.urlEnv ?? preset.keyEnv[0])
      const also = preset.baseUrl === null && preset.urlEnv !== null ? ` and ${preset.urlEnv}` : ''
      return {
        name: preset.name,
        state: 'off',
        note: `${variable ?? 'base_url'}${also} ${also === '' ? 'is' : 'are'} not set`,
      }
    })
}

const onRows = ({ config }: BannerFacts): readonly Row[] =>
  config.providers.map((provider) => {
    const where = provider.type === 'sim' ? 'simulated answers, no key needed' : provider.baseUrl
    const names = patterns(provider.modelPatterns)
    return { name: provider.name, state: 'on', note: names === '' ? where : `${where}  (${names})` }
  })

/** A name that will work if pasted: a public model, else something a provider is known to have, else the simulator. */
export const exampleModel = (config: HeddleConfig): string => {
  const named = config.models.find((model) => !model.name.includes('*'))
  if (named !== undefined) return named.name
  const known: Readonly<Record<string, string>> = {
    openai: 'gpt-5-mini',
    anthropic: 'claude-haiku-4-5',
    gemini: 'gemini-3.8-flash',
    mistral: 'mistral-small-latest',
    deepseek: 'deepseek-v4-flash',
    xai: 'grok-4.7',
    groq: 'openai/gpt-oss-120b',
    openrouter: 'openai/gpt-5-mini',
  }
  for (const provider of config.providers) {
    const model = known[provider.type]
    if (model !== undefined) return `${provider.name}/${model}`
  }
  return config.providers.some((provider) => provider.type === 'sim') ? 'sim' : 'MODEL'
}

const modelLines = ({ config }: BannerFacts): readonly string[] => {
  if (config.models.length === 0) return []
  const shown = config.models.slice(0, 12).map((model) => {
    const aliases = model.aliases.length === 0 ? '' : ` (also ${model.aliases.join(', ')})`
    const targets = model.targets.map(({ provider, model: name }) => (name === null ? provider : `${provider}/${name}`))
    return `  ${model.name}${aliases}  →  ${targets.join(', ')}`
  })
  const rest = config.models.length - shown.length
  return ['', 'Models', ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])]
}

const count = (n: number, what: string): readonly string[] => (n === 0 ? [] : [`${n} ${what}${n === 1 ? '' : 's'}`])

/** Who may call, in one line. */
export const accessLine = ({ auth, limits, server }: HeddleConfig): string => {
  if (auth === null) {
    return server.insecure
      ? 'insecure: clients are not authenticated; whoever reaches this address can spend your keys'
      : 'Access  callers are not asked who they are, so only this machine is served; say who may call under `auth`'
  }
  const ways = [
    ...count(auth.keys.length, 'key'),
    ...count(auth.signedKeys?.issuers.length ?? 0, 'signed-key issuer'),
    ...count(auth.jwt.length, 'token issuer'),
    ...(auth.peers === null ? [] : ['peers by identity']),
    ...(auth.anonymous.allowed ? ['anonymous callers'] : []),
    ...count(limits.length, 'limit'),
  ]
  return `Access  ${ways.join(', ') || 'nobody: `auth` names no way to prove who one is'}`
}

/** Several lines, ends with a line break. Holds no secret. */
export const banner = (facts: BannerFacts): string => {
  const { config, url, adminUrl, version, source, workers } = facts
  const rows = [...onRows(facts), ...offRows(facts)]
  const width = Math.max(4, ...rows.map((row) => row.name.length))
  const model = JSON.stringify(exampleModel(config))
  const origin = source ?? 'the environment (no configuration file)'
  const body = `{"model":${model},"messages":[{"role":"user","content":"Hello"}]}`
  const lines = [
    `Heddle ${version}  configuration ${config.hash} from ${origin}${workers > 1 ? `, ${workers} workers` : ''}`,
    '',
    'Providers',
    ...rows.map((row) => `  ${row.name.padEnd(width)}  ${row.state.padEnd(3)}  ${row.note}`),
    ...(rows.length === 0 ? ['  none: set an API key such as OPENAI_API_KEY, or write `providers`'] : []),
    ...modelLines(facts),
    '',
    accessLine(config),
    '',
    `API    ${url}/v1`,
    ...(facts.tlsUrl === null ? [] : [`TLS    ${facts.tlsUrl}/v1`]),
    `Admin  ${adminUrl}`,
    '',
    'Try it',
    `  curl ${url}/v1/chat/completions -H 'content-type: application/json'${config.auth === null ? '' : " -H 'authorization: Bearer YOUR_KEY'"} -d '${body.replaceAll("'", String.raw`'\''`)}'`,
    `  python -c 'from openai import OpenAI; print(OpenAI(base_url="${url}/v1", api_key="${config.auth === null ? 'unused' : 'YOUR_KEY'}").chat.completions.create(` +
      `model=${model}, messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)'`,
  ]
  return `${lines.join('\n')}\n`
}
