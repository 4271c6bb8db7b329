/** The fault table for people: as text for the terminal and as Markdown for the guide. */
import type { Fault } from './faults.ts'
import { FAULTS } from './faults.ts'

const label = ({ name, argument }: Fault): string => (argument === 'none' ? name : `${name}=${argument.toUpperCase()}`)

export const faultTableText = (): string => {
  const width = Math.max(...FAULTS.map((entry) => label(entry).length))
  const line = (entry: Fault): string => {
    const fallback = entry.fallback === undefined ? '' : ` (default ${entry.fallback})`
    return `  ${label(entry).padEnd(width)}  ${entry.help}${fallback}\n`
  }
  return FAULTS.map(line).join('')
}

export const faultTableMarkdown = (): string => {
  const row = (entry: Fault): string => {
    const kinds = entry.on.length === 2 ? 'both' : entry.on.join()
    return `| \`${label(entry)}\` | ${entry.fallback ?? ''} | ${kinds} | ${entry.effect} | ${entry.help} |\n`
  }
  return `| Fault | Default | Answers | Effect | What it does |\n|---|---|---|---|---|\n${FAULTS.map(row).join('')}`
}
