/** Kinds of tokens. */
export const WORD = 0
export const NUMBER = 1
export const HAN = 2
export const SYMBOL = 3
export const QUOTE = 4
export const CODE = 5
export const LINK = 6

export interface Token {
  readonly kind: number
  /** As written, but without quotation marks and fences. */
  readonly text: string
  /** No space before it: `5km`, `$20`, `-3`. */
  readonly glued: boolean
  /** Offset in the scanned text. */
  readonly at: number
}

// All repetitions are bounded or start at a character that the part before cannot hold, so that no text takes long.
const parts = [
  '(?<code>```[^]*?(?:```|$)|`[^`\\n]{1,400}`|[A-Za-z_][\\w.]{0,60}(?!\\((?:s|es)\\))\\([^()\\s][^()\\n]{0,200}\\)|[A-Za-z_][\\w.]{0,60}\\(\\))',
  '(?<quote>"[^"\\n]{1,300}"|“[^”\\n]{1,300}”|「[^」\\n]{1,300}」|《[^》\\n]{1,300}》|«[^»\\n]{1,300}»|(?<![\\p{L}\\p{N}])[\'‘][^\'’\\n]{2,120}[\'’](?![\\p{L}\\p{N}]))',
  '(?<link>(?:https?|ftp):\\/\\/[^\\s<>"”，。）)]{1,500}|www\\.[^\\s<>"”，。）)]{1,500}|[\\w.+-]{1,64}@[\\w-]{1,64}(?:\\.[\\w-]{1,64})+|(?<![\\w.])[A-Za-z0-9-]{1,64}(?:\\.[A-Za-z0-9-]{1,64}){0,5}\\.(?:com|org|net|io|dev|edu|gov|example)\\b(?:\\/[^\\s<>"”，。）)?]{0,300})?)',
  '(?<flag>(?<=\\s|^)--?[a-zA-Z][\\w-]{0,40}(?![\\w.]))',
  '(?<number>\\d{1,4}[-/.]\\d{1,2}[-/.]\\d{1,4}(?![\\d.])|\\d{1,2}:\\d{2}(?::\\d{2})?|\\d{1,3}(?:,\\d{3})+(?:\\.\\d+)?(?!\\d)|(?:(?<![\\p{L}\\p{N}])[vV])?\\d{1,40}(?:\\.\\d{1,20}){0,5}|\\.\\d{1,20})',
  '(?<han>[\\p{Script=Han}〇]{1,512})',
  "(?<word>(?:(?!\\p{Script=Han})[\\p{L}\\p{M}]){1,60}(?:['’][a-zA-Z]{1,60}|_\\w{1,60}|\\.(?=[a-zA-Z])\\w{1,60}){0,8}|_\\w{1,60})",
  '(?<symbol>[=<>!+*/^|&~#\\\\]{1,3}\\$?|°[cCfF](?![\\p{L}])|[^\\s\\p{L}\\p{N}])',
]
const scanner = new RegExp(parts.join('|'), 'gu')

const kindOf = (groups: Record<string, string | undefined>): number => {
  if (groups['word'] !== undefined) return WORD
  if (groups['number'] !== undefined) return NUMBER
  if (groups['han'] !== undefined) return HAN
  if (groups['symbol'] !== undefined) return SYMBOL
  if (groups['quote'] !== undefined) return QUOTE
  return groups['link'] === undefined ? CODE : LINK
}

/** Cuts a text into tokens; at most `limit`. Linear in the text but for bounded look-ahead. */
export const scan = (text: string, limit: number): readonly Token[] => {
  const tokens: Token[] = []
  let end = 0
  scanner.lastIndex = 0
  for (let match = scanner.exec(text); match !== null && tokens.length < limit; match = scanner.exec(text)) {
    const raw = match[0]
    const kind = kindOf(match.groups ?? {})
    let said = raw
    if (kind === QUOTE) said = raw.slice(1, -1)
    else if (raw.startsWith('`')) said = raw.replaceAll('`', '')
    tokens.push({ kind, text: said, glued: match.index === end && end > 0, at: match.index })
    end = match.index + raw.length
  }
  return tokens
}
