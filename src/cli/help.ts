import { allFlags } from './command.ts'
import type { CommandSpec, FlagSpec } from './command.ts'
import { COMMANDS } from './commands.ts'

const WIDTH = 92

/** Breaks at blanks so that no line but one of a single long word is wider than `width`. */
export const wrap = (text: string, width: number, indent = ''): string => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.join(`\n${indent}`)
}

const table = (rows: readonly (readonly [string, string])[]): string => {
  const left = Math.max(...rows.map(([name]) => name.length)) + 4
  return rows
    .map(([name, help]) => `  ${name.padEnd(left - 2)}${wrap(help, WIDTH - left, ' '.repeat(left))}`)
    .join('\n')
}

export const flagText = (flag: FlagSpec): string => {
  const short = flag.short === undefined ? '    ' : `-${flag.short}, `
  return `${short}--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`
}

const EXIT_CODES = '0 ok, 1 failure, 2 wrong usage, 3 invalid configuration'

/** Help of one command: usage, what it does, flags, examples. */
export const commandHelp = (spec: CommandSpec): string => {
  const flags = allFlags(spec).map(
    (flag) => [flagText(flag), flag.env === undefined ? flag.help : `${flag.help} [env ${flag.env}]`] as const,
  )
  const examples = spec.examples.map(({ command, help }) => `  ${command}\n      ${help}`)
  return [
    `Usage: heddle ${spec.name} ${spec.args === '' ? '' : `${spec.args} `}[FLAGS]`,
    `${spec.summary}\n${wrap(spec.details, WIDTH)}`,
    `Flags:\n${table(flags)}`,
    `Examples:\n${examples.join('\n')}`,
    `Exit codes: ${EXIT_CODES}.\n`,
  ].join('\n\n')
}

/** Help of the whole program. */
export const mainHelp = (): string => {
  const commands = Object.values(COMMANDS).map((spec) => [`${spec.name} ${spec.args}`.trim(), spec.summary] as const)
  return [
    'Usage: heddle [COMMAND] [FLAGS]',
    'One OpenAI-compatible endpoint in front of many model backends.',
    `Commands:\n${table(commands)}`,
    'Examples:\n' +
      COMMANDS.serve.examples
        .slice(0, 2)
        .map(({ command, help }) => `  ${command}\n      ${help}`)
        .join('\n'),
    `\`heddle COMMAND --help\` shows the flags of a command. Exit codes: ${EXIT_CODES}.\n`,
  ].join('\n\n')
}
