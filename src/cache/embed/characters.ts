/** What BERT's tokenizer does with a character (google-research/bert tokenization.py, BasicTokenizer). */
export const WORD = 1
export const SPACE = 2
/** A word of its own. */
export const ALONE = 3
/** As if it was not there: control characters and what is left of accents after NFD. */
export const DROPPED = 4

const SPACES = /[\t\n\r\p{Z}]/u
const NOTHING = /[\p{C}\p{Mn}\uFFFD]/u
// `[-/:-@[-`{-~]` are symbols for Unicode (`$+<=>^`|~`), but BERT takes all of ASCII's as punctuation
const APART = /[!-/:-@[-`{-~\p{P}]/u

/** Class of each code unit; 0 = not asked yet. Classifying costs a few regexes, once for each character ever met. */
const classes = new Uint8Array(65_536)

export function classOf(code: number): number {
  return classes[code] || (classes[code] = classify(code))
}

function classify(code: number): number {
  // halves of a pair: letters of scripts and pictures no table here knows; they stay in their word, which is unknown then
  if (code >= 0xd800 && code <= 0xdfff) return WORD
  const character = String.fromCharCode(code)
  if (SPACES.test(character)) return SPACE
  if (NOTHING.test(character)) return DROPPED
  return isIdeograph(code) || APART.test(character) ? ALONE : WORD
}

/** The blocks that BERT splits into single characters. */
function isIdeograph(code: number): boolean {
  return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) || (code >= 0xf900 && code <= 0xfaff)
}

/** Whether it counts for the coverage of a text: everything that is seen and is not punctuation. */
export function isCounted(code: number): boolean {
  const kind = classOf(code)
  return kind === WORD || (kind === ALONE && isIdeograph(code))
}

/** Lower case, accents stripped. ASCII, by far the most, is only lowered where it is read. */
export function plain(text: string): string {
  for (let at = 0; at < text.length; at += 1) {
    if (text.charCodeAt(at) > 127) return text.normalize('NFD').toLowerCase()
  }
  return text
}
