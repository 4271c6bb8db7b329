/** The reference pages that are plain tables: errors, providers, command line. */
import { allFlags } from '../../src/cli/command.ts'
import type { CommandSpec } from '../../src/cli/command.ts'
import { COMMANDS } from '../../src/cli/commands.ts'
import type { ProviderPreset } from '../../src/contracts/config.ts'
import { ERROR_CODES } from '../../src/core/errors.ts'

const NOTE = 'by `npm run gen`; do not edit.'

const cell = (text: string): string => text.replaceAll('|', String.raw`\|`)

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map(cell).join(' | ')} |`).join('\n')

const code = (text: string): string => (text === '' ? '' : `\`${text}\``)

const codes = (list: readonly string[]): string => list.map(code).join(', ')

export const errorsDoc = (): string =>
  `# Error codes

Generated from the table of codes ${NOTE} Codes are stable: match on them, not on messages. \`retryable\` is what
\`x-should-retry\` tells SDKs.

${table(
  ['Code', 'Status', 'Type', 'Retryable', 'What to do'],
  Object.entries(ERROR_CODES).map(([name, row]) => [
    code(name),
    String(row.status),
    code(row.type),
    row.retryable ? 'yes' : 'no',
    row.help,
  ]),
)}
`

const providerRow = (preset: ProviderPreset): readonly string[] => [
  code(preset.name),
  preset.title,
  [codes(preset.keyEnv), preset.urlEnv === null ? '' : `URL: ${code(preset.urlEnv)}`]
    .filter((text) => text !== '')
    .join('; '),
  code(preset.baseUrl ?? 'base_url needed'),
  preset.operations.join(', '),
  code(
    preset.wire ??
      (preset.operations.includes('chat')
        ? 'openai.chat'
        : preset.operations.includes('responses')
          ? 'openai.responses'
          : ''),
  ),
  codes(preset.modelPatterns),
  preset.notes,
]

export const providersDoc = (
  presets: readonly ProviderPreset[],
  models: { readonly asOf: string; readonly count: number },
): string =>
  `# Providers

Generated from the preset table ${NOTE} An entry under \`providers\` named like one of these needs nothing else; without a
configuration file every provider whose variable is set is on. When two providers that are on claim a model name, the one
that stands first in your file wins, without a file the one that stands first here. Requests of an operation that the provider
lists reach it as they came; those in other dialects are [translated](translation.md) to its wire.

${table(['Name', 'Provider', 'Environment', 'Base URL', 'Operations', 'Wire', 'Model names', 'Notes'], presets.map(providerRow))}

Besides these there are \`openai_compatible\` for any other server with the OpenAI API (needs \`base_url\`) and \`sim\` for
built-in simulated models. Prices and limits of ${models.count} models (as of ${models.asOf}) are in
[config/models.json](../../config/models.json); a target's \`price\` and \`capabilities\` correct them.
`

const commandSection = (spec: CommandSpec): string => {
  const usage = ['heddle', spec.name, spec.args, '[FLAGS]'].filter((text) => text !== '').join(' ')
  const rows = allFlags(spec).map((flag) => [
    [
      flag.short === undefined ? '' : `-${flag.short}`,
      `--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`,
    ]
      .filter((text) => text !== '')
      .map(code)
      .join(', '),
    flag.env === undefined ? '' : code(flag.env),
    flag.help,
  ])
  return [
    `## heddle ${spec.name}`,
    `${spec.summary} ${spec.details}`,
    `\`\`\`sh\n${usage}\n\`\`\``,
    table(['Flag', 'Variable', 'Meaning'], rows),
    spec.examples.map(({ command, help }) => `\`\`\`sh\n# ${help}\n${command}\n\`\`\``).join('\n\n'),
  ].join('\n\n')
}

export const cliDoc = (): string =>
  `# Command line

Generated from the command table ${NOTE} Without a command \`heddle\` serves. Flags may stand anywhere, as \`--flag value\` or
\`--flag=value\`; a flag wins over its environment variable, and that over the configuration file.

Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 invalid configuration.

${Object.values(COMMANDS).map(commandSection).join('\n\n')}
`
