/**
 * Takes out of a text what should not lie about in telemetry: keys and tokens, e-mail addresses, card and phone numbers.
 * By their shapes, so neither all of them nor only they: what must surely not show must not be written at all.
 */

/** Keys and tokens as providers form them, for a regular expression without case; `eyJ` begins every JSON Web Token. */
export const KEY_SHAPES = String.raw`\b(?:sk|pk|rk|gsk|xai|AIza|hf|r8|nvapi|pplx|csk|ghp|gho|ghs|glpat|xox[abprs]|shpat|hk)[-_][A-Za-z0-9*_-]{6,}|\bAIza[\w-]{10,}|\bAKIA[0-9A-Z]{12,}|\beyJ[\w-]{8,}(?:\.[\w-]+){0,4}|(?:bearer|basic)\s+[\w.~+/=*-]{6,}`
const KEYS = new RegExp(KEY_SHAPES, 'gi')
const NAMED = /\b(?:api[-_ ]?key|token|secret|password|passwd)["']?\s*[:=]\s*["']?[^\s"',;]{4,}/gi
const PEM = /-----BEGIN [A-Z ]{1,40}-----[\s\S]*?(?:-----END [A-Z ]{1,40}-----|$)/g
const EMAIL = /[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}/g
const CARD = /(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)/g
const PHONE = /(?<![\w+])(?:\+|\(|\d)[\d ().\-/]{6,20}\d(?!\w)/g

const MIN_PHONE = 8
const MAX_PHONE = 15

/** The check digit of ISO/IEC 7812. */
function isLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const n = Number(digits[digits.length - 1 - i])
    sum += i % 2 === 0 ? n : n > 4 ? n * 2 - 9 : n * 2
  }
  return sum % 10 === 0
}

const digitsOf = (text: string): string => text.replaceAll(/\D/g, '')

export const redact = (text: string): string =>
  text
    .replace(PEM, '[key]')
    .replace(KEYS, '[key]')
    .replace(NAMED, '[key]')
    .replace(EMAIL, '[email]')
    .replace(CARD, (found) => (isLuhn(digitsOf(found)) ? '[card]' : found))
    .replace(PHONE, (found) => {
      const { length } = digitsOf(found)
      return length >= MIN_PHONE && length <= MAX_PHONE ? '[phone]' : found
    })
