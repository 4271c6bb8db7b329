import type { Opaque } from '../../contracts/canonical.ts'
import type { Dialect } from '../../contracts/dialect.ts'

const MARK = 'hdl1.'

/**
 * Opaque bytes as a client of `dialect` gets them: those of its own dialect as they are, others with the name of their
 * maker before them, so that they find their way back when the client returns them.
 */
export const packOpaque = ({ by, value }: Opaque, dialect: Dialect): string =>
  by === dialect && !value.startsWith(MARK) ? value : `${MARK}${by}!${value}`

/** What a client of `dialect` returned. */
export function unpackOpaque(text: string, dialect: Dialect): Opaque {
  const bang = text.startsWith(MARK) ? text.indexOf('!') : -1
  return bang < 0
    ? { by: dialect, value: text }
    : { by: text.slice(MARK.length, bang) as Dialect, value: text.slice(bang + 1) }
}
