import type { Opaque } from '../../contracts/canonical.ts'
import type { Dialect } from '../../contracts/dialect.ts'
import { packOpaque, unpackOpaque } from './opaque.ts'

/**
 * What an opaque value proves. signature: of readable reasoning; redacted: stands in place of reasoning; call: of the
 * tool call with the id `of`, in dialects that have no place for it beside the call.
 */
export interface Proof {
  readonly kind: 'signature' | 'redacted' | 'call'
  /** Item id of the Responses API, or the id of the call; '' = none. */
  readonly of: string
  readonly opaque: Opaque
}

const MARK = 'hdl2.'
const LETTERS = { signature: 's', redacted: 'r', call: 't' } as const
const KINDS: ReadonlyMap<string, Proof['kind']> = new Map([
  ['s', 'signature'],
  ['r', 'redacted'],
  ['t', 'call'],
])

/**
 * An opaque value as a client of `dialect` gets it, so that unpackProof() gives the same again. natural: what the place it
 * stands in already says; only what differs from that, or has an id to carry, is marked (`hdl2.<kind><id>!` before it).
 */
export function packProof(proof: Proof, dialect: Dialect, natural: Proof['kind']): string {
  const packed = packOpaque(proof.opaque, dialect)
  if (proof.kind === natural && proof.of === '' && !packed.startsWith(MARK)) return packed
  return `${MARK}${LETTERS[proof.kind]}${escape(proof.of)}!${packed}`
}

/** What a client of `dialect` returned in a place that naturally holds `natural`. */
export function unpackProof(text: string, dialect: Dialect, natural: Proof['kind']): Proof {
  const bang = text.startsWith(MARK) ? text.indexOf('!') : -1
  const kind = bang < 0 ? undefined : KINDS.get(text.charAt(MARK.length))
  if (kind === undefined) return { kind: natural, of: '', opaque: unpackOpaque(text, dialect) }
  return {
    kind,
    of: unescape(text.slice(MARK.length + 1, bang)),
    opaque: unpackOpaque(text.slice(bang + 1), dialect),
  }
}

const escape = (id: string): string =>
  id.includes('!') || id.includes('%') ? id.replaceAll('%', '%25').replaceAll('!', '%21') : id
const unescape = (id: string): string => (id.includes('%') ? id.replaceAll('%21', '!').replaceAll('%25', '%') : id)
