import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Change } from './messages.ts'

/** Changes about the same thing have the same name; the last one counts. */
export const nameOf = (change: Change): string => {
  if (change.kind === 'revoke') return `revoke ${change.id}`
  const { limit, unit, period, scope } = change.change
  return `change ${JSON.stringify([limit, unit, period, scope])}`
}

export const undoes = (change: Change): boolean =>
  change.kind === 'revoke' ? !change.revoked : change.change.amount === null

/** What holds after one more change. */
export function withChange(changes: readonly Change[], change: Change): readonly Change[] {
  const others = changes.filter((one) => nameOf(one) !== nameOf(change))
  return undoes(change) ? others : [...others, change]
}

const isChange = (value: unknown): value is Change => {
  if (typeof value !== 'object' || value === null) return false
  const { kind, id, change } = value as Readonly<Record<string, unknown>>
  return kind === 'revoke' ? typeof id === 'string' : kind === 'change' && typeof change === 'object' && change !== null
}

/** Changes that a process before this one has kept; [] when there is no such file. Throws when it cannot be used. */
export function readChanges(path: string): readonly Change[] {
  try {
    const { changes } = JSON.parse(readFileSync(path, 'utf8')) as { readonly changes: unknown }
    if (Array.isArray(changes) && changes.every(isChange)) return changes
    throw new TypeError('it holds something else')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw new Error(`${path} cannot be read: keys revoked at run time would be valid again`, { cause: error })
  }
}

/** All or nothing: a crash leaves the file as it was. */
export function writeChanges(path: string, changes: readonly Change[]): void {
  const next = `${path}.new`
  writeFileSync(next, `${JSON.stringify({ changes }, null, 2)}\n`, { mode: 0o600 })
  renameSync(next, path)
}
