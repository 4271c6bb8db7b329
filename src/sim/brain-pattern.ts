/** A string that matches a regular expression of the kind people put into JSON Schema `pattern`. */

interface Reader {
  readonly source: string
  at: number
  /** Repetitions beyond the least, for quantifiers that allow them: lets the caller ask for longer samples. */
  readonly extra: number
}

class Unsupported extends Error {}

/** Characters. */
const MAX_SAMPLE = 20_000

const CLASS_SAMPLES: Readonly<Record<string, string>> = {
  d: '0',
  w: 'a',
  s: ' ',
  D: 'a',
  W: '-',
  S: 'a',
  n: '\n',
  t: '\t',
}

const readClass = (reader: Reader): string => {
  const negated = reader.source[reader.at] === '^'
  const start = reader.at - 1
  let end = reader.at + 1
  while (end < reader.source.length && (reader.source[end] !== ']' || reader.source[end - 1] === '\\')) end++
  reader.at = end + 1
  const matcher = new RegExp(reader.source.slice(start, end + 1), 'u')
  const first = negated ? '' : reader.source.slice(start + 1, end).replace(/^\\/, '')
  const char = [...first, ...'a0A-_ .,:/@+#é'].find((sample) => matcher.test(sample))
  if (char !== undefined) return char
  for (let code = 33; code < 0x250; code++)
    if (matcher.test(String.fromCharCode(code))) return String.fromCharCode(code)
  throw new Unsupported(reader.source)
}

const readEscape = (reader: Reader): string => {
  const char = reader.source[reader.at++] ?? ''
  if (char === 'b' || char === 'B') return ''
  if (char === 'p' || char === 'P') {
    const close = reader.source.indexOf('}', reader.at)
    const matcher = new RegExp(`\\${char}${reader.source.slice(reader.at, close + 1)}`, 'u')
    reader.at = close + 1
    const sample = [...'aA0 -.é日'].find((candidate) => matcher.test(candidate))
    if (sample === undefined) throw new Unsupported(reader.source)
    return sample
  }
  const sample = CLASS_SAMPLES[char]
  if (sample !== undefined) return sample
  if (/[1-9kux]/.test(char)) throw new Unsupported(reader.source)
  return char
}

const readAtom = (reader: Reader): string => {
  const char = reader.source[reader.at++] ?? ''
  if (char === '^' || char === '$') return ''
  if (char === '.') return 'a'
  if (char === '\\') return readEscape(reader)
  if (char === '[') return readClass(reader)
  if (char !== '(') return char
  const prefix = /^\?(?::|<[A-Za-z]\w*>)/.exec(reader.source.slice(reader.at))?.[0] ?? ''
  reader.at += prefix.length
  if (prefix === '' && reader.source[reader.at] === '?') throw new Unsupported(reader.source)
  const inner = readAlternatives(reader)
  reader.at++
  return inner
}

const repetitions = (reader: Reader): number => {
  const quantifier = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(reader.source.slice(reader.at))
  if (quantifier === null) return 1
  reader.at += quantifier[0].length
  const symbol = quantifier[0][0]
  if (symbol === '?') return Math.min(1, reader.extra)
  const least = symbol === '+' ? 1 : Number(quantifier[1] ?? 0)
  const most = quantifier[1] === undefined || quantifier[3] === '' ? Infinity : Number(quantifier[3] ?? least)
  return Math.min(most, least + reader.extra)
}

const readSequence = (reader: Reader): string => {
  let out = ''
  while (reader.at < reader.source.length && !'|)'.includes(reader.source[reader.at] ?? '')) {
    const atom = readAtom(reader)
    const times = repetitions(reader)
    if (out.length + atom.length * times > MAX_SAMPLE) throw new Unsupported(reader.source)
    out += atom.repeat(times)
  }
  return out
}

const readAlternatives = (reader: Reader): string => {
  const first = readSequence(reader)
  while (reader.source[reader.at] === '|') {
    reader.at++
    readSequence(reader)
  }
  return first
}

/** Samples of growing length; those that the pattern (as ECMA-262 `u`) does not match are left out. */
export const samplesOf = (pattern: string): string[] => {
  const samples: string[] = []
  try {
    const matcher = new RegExp(pattern, 'u')
    for (const extra of [0, 1, 2, 4, 8, 16, 32, 64]) {
      const sample = readAlternatives({ source: pattern, at: 0, extra })
      if (matcher.test(sample)) samples.push(sample)
    }
  } catch (error) {
    if (!(error instanceof Unsupported) && !(error instanceof SyntaxError)) throw error
  }
  return samples
}
