/** Billionths of a US dollar in one. */
export const NANO_PER_USD = 1e9

/** US dollars of a whole number of billionths, as a decimal with all nine places' worth and no zeros at its end. */
export function usdText(nanoUsd: number): string {
  const whole = Math.floor(nanoUsd / NANO_PER_USD)
  const rest = nanoUsd - whole * NANO_PER_USD
  if (rest === 0) return String(whole)
  let places = String(rest).padStart(9, '0')
  let end = 9
  while (places.charCodeAt(end - 1) === 48) end--
  if (end < 9) places = places.slice(0, end)
  return `${whole}.${places}`
}
