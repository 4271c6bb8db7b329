/** Durations, sizes and shares as people write them. One unit per value: `90s`, not `1m30s`. */

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
}

export const DURATION_PATTERN = /^(\d{1,10}(?:\.\d{1,3})?)(ms|s|m|h|d)$/
export const SIZE_PATTERN = /^(\d{1,12}(?:\.\d{1,3})?)(B|KB|MB|GB|KiB|MiB|GiB)$/
export const PERCENT_PATTERN = /^(\d{1,3}(?:\.\d{1,4})?)%$/

/** 30 days: longer is a slip of the unit, and timers overflow at 24.8 days anyway when not split. */
export const MAX_DURATION_MS = 30 * 86_400_000

/** 1 TiB: far above anything that is held in memory, far below what numbers count exactly. */
const MAX_SIZE = 1024 ** 4

const scaled = (text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined => {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const unit = units[match[2] ?? '']
  return unit === undefined ? undefined : Math.round(Number(match[1]) * unit)
}

/** Milliseconds, a whole number; undefined when the text is not a duration of at most 30 days. */
export const parseDuration = (text: string): number | undefined => {
  const ms = scaled(text, DURATION_PATTERN, DURATION_UNITS)
  return ms === undefined || ms > MAX_DURATION_MS ? undefined : ms
}

/** Bytes, a whole number; undefined when the text is not a size of at most 1 TiB. */
export const parseSize = (text: string): number | undefined => {
  const bytes = scaled(text, SIZE_PATTERN, SIZE_UNITS)
  return bytes === undefined || bytes > MAX_SIZE ? undefined : bytes
}

/** 0..1; undefined when the text is not a percentage of at most 100. */
export const parsePercent = (text: string): number | undefined => {
  const match = PERCENT_PATTERN.exec(text)
  if (match === null) return undefined
  const share = Number(match[1]) / 100
  return share <= 1 ? share : undefined
}

/** The shortest exact form with one unit: the inverse of `parseDuration`. */
export const formatDuration = (ms: number): string => {
  for (const unit of ['d', 'h', 'm', 's']) {
    const factor = DURATION_UNITS[unit] ?? 1
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`
  }
  return `${ms}ms`
}

/** The shortest exact form with a binary unit: the inverse of `parseSize`. */
export const formatSize = (bytes: number): string => {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const factor = SIZE_UNITS[unit] ?? 1
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return `${bytes}B`
}
