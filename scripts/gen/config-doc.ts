/** docs/reference/config.md out of the JSON Schema, so that the page cannot say anything else than the checker does. */

type Schema = Readonly<Record<string, unknown>>

interface Row {
  readonly path: string
  readonly type: string
  readonly fallback: string
  readonly text: string
}

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const asSchema = (value: unknown): Schema => (isSchema(value) ? value : {})

const list = (value: unknown): readonly Schema[] => (Array.isArray(value) ? value.filter(isSchema) : [])

const refName = (schema: Schema): string | undefined => {
  const ref = schema['$ref']
  return typeof ref === 'string' ? ref.replace('#/$defs/', '') : undefined
}

/** Types that people know by name; the others have a section of their own below. */
const BASIC: Readonly<Record<string, string>> = {
  Date: 'date',
  Duration: 'duration',
  Size: 'size',
  Share: 'share',
  TargetName: 'string',
}

const SECTIONS = [
  'Tls',
  'PolicyService',
  'Provider',
  'Model',
  'Target',
  'Capabilities',
  'Price',
  'Mapping',
  'Step',
] as const
/** Parts of the file, each with the maps that it is made of: who may call, how much, what it costs; the mesh around. */
const PARTS = {
  auth: ['Key', 'Jwt', 'KubernetesTokens', 'PeerClaims', 'Grant'],
  tenants: ['Tenant'],
  limits: ['Limit', 'LimitRule'],
  ledger: ['LedgerRedis'],
  usage: [],
  mesh: [],
  tracing: [],
  responses: [],
  batches: [],
  cache: [],
  mcp: ['McpServer'],
} as const

const anchor = (name: string): string => `[${name.toLowerCase()}](#${name.toLowerCase()})`

const range = ({ minimum, maximum }: Schema): string => {
  const bounded = (value: unknown): value is number => typeof value === 'number' && Math.abs(value) < 1e9
  if (bounded(minimum) && bounded(maximum)) return ` ${minimum}–${maximum}`
  if (bounded(minimum)) return ` ≥ ${minimum}`
  return ''
}

const typeOf = (schema: Schema): string => {
  const name = refName(schema)
  if (name !== undefined) return BASIC[name] ?? anchor(name)
  const options = list(schema['anyOf'])
  if (options.length > 0) {
    // References may stand for every scalar: said once in the introduction.
    const own = options.filter((option) => refName(option) !== 'Reference')
    return [...new Set(own.map(typeOf))].join(' or ')
  }
  if ('const' in schema) return `\`${String(schema['const'])}\``
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => `\`${String(value)}\``).join(', ')
  if (schema['type'] === 'array') return `list of ${typeOf(asSchema(schema['items']))}`
  if (schema['type'] === 'object') {
    const values = asSchema(schema['additionalProperties'])
    return Object.keys(values).length > 0 ? `map of ${typeOf(values)}` : 'map'
  }
  return `${String(schema['type'] ?? 'any')}${range(schema)}`
}

const fallbackOf = (schema: Schema, required: boolean): string => {
  if (required) return 'required'
  const value = schema['default']
  if (value === undefined) return ''
  if (isSchema(value)) return '`{}`'
  return Array.isArray(value) ? `\`[${value.join(', ')}]\`` : `\`${String(value)}\``
}

const cell = (text: string): string => text.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ')

const rowsOf = (schema: Schema, prefix: string): readonly Row[] => {
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  return Object.entries(asSchema(schema['properties'])).flatMap(([key, value]) => {
    const field = asSchema(value)
    const path = prefix === '' ? key : `${prefix}.${key}`
    const text = String(field['description'] ?? '')
    const row = { path, type: typeOf(field), fallback: fallbackOf(field, required.includes(key)), text }
    if (!isSchema(field['properties'])) return [row]
    return [{ ...row, fallback: '' }, ...rowsOf(field, path)]
  })
}

const table = (rows: readonly Row[]): string =>
  [
    '| Key | Type | Default | Meaning |',
    '|---|---|---|---|',
    ...rows.map(
      ({ path, type, fallback, text }) => `| \`${path}\` | ${cell(type)} | ${cell(fallback)} | ${cell(text)} |`,
    ),
  ].join('\n')

/** Keys of a model that only override `defaults` are named, not repeated. */
const modelSection = (model: Schema, defaults: Schema): string => {
  const shared = new Set(Object.keys(asSchema(defaults['properties'])))
  const own = Object.entries(asSchema(model['properties'])).filter(([key]) => !shared.has(key))
  const names = [...shared].map((key) => `\`${key}\``).join(', ')
  return [
    table(rowsOf({ ...model, properties: Object.fromEntries(own) }, '')),
    '',
    `Besides these a model takes ${names} with the same keys as [defaults](#defaults): what is left out there holds.`,
  ].join('\n')
}

const INTRO = `# Configuration reference

Generated from the schema by \`npm run gen\`; do not edit. A guide with examples is in
[guides/configuration.md](../guides/configuration.md), the JSON Schema for editors in
[config/schema.json](../../config/schema.json).

Values: a **duration** is a number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\` (\`500ms\`, \`30s\`), or \`0\`; a **size** is a number
with \`B\`, \`KB\`, \`MB\`, \`GB\` (powers of 1000), \`KiB\`, \`MiB\` or \`GiB\` (powers of 1024), or \`0\`; a **share** is a number
from 0 to 1 or a percentage such as \`20%\`. In any string \`\${env:NAME}\`, \`\${env:NAME:-default}\` and \`\${file:PATH}\` are
replaced; \`$\${\` stands for a literal \`\${\`. Unknown keys are errors.`

/** The whole page; takes what `configJsonSchema()` gives. */
export const configDoc = (schema: Schema): string => {
  const properties = asSchema(schema['properties'])
  const definitions = asSchema(schema['$defs'])
  const top = (name: string): Schema => asSchema(properties[name])
  const parts = [
    INTRO,
    '## Top level',
    table(
      Object.entries(properties).map(([path, value]) => {
        const field = asSchema(value)
        const type = isSchema(field['properties']) ? `[map](#${path})` : typeOf(field)
        return { path, type, fallback: '', text: String(field['description'] ?? '') }
      }),
    ),
    '## server',
    table(rowsOf(top('server'), 'server')),
    '## defaults',
    table(rowsOf(top('defaults'), 'defaults')),
    '`hedge` is null or a map:',
    table(rowsOf(asSchema(list(asSchema(asSchema(top('defaults')['properties'])['hedge'])['anyOf'])[1]), 'hedge')),
  ]
  for (const name of SECTIONS) {
    const definition = asSchema(definitions[name])
    parts.push(`## ${name}`)
    parts.push(name === 'Model' ? modelSection(definition, top('defaults')) : table(rowsOf(definition, '')))
  }
  for (const [part, maps] of Object.entries(PARTS)) {
    const rows = rowsOf(top(part), part)
    if (rows.length > 0) parts.push(`## ${part}`, table(rows))
    for (const name of maps) parts.push(`## ${name}`, table(rowsOf(asSchema(definitions[name]), '')))
  }
  return `${parts.join('\n\n')}\n`
}
