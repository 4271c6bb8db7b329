/**
 * Optimal string alignment distance: insert, delete, replace, and swap of neighbours cost 1 each.
 * Swaps count once because they are the commonest slip of the fingers.
 */
export const editDistance = (a: string, b: string): number => {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] ?? 0) + 1)
      }
      current.push(best)
    }
    before = previous
    previous = current
  }
  return previous[b.length] ?? 0
}

/** Longer names are not worth the quadratic work: they are not typing slips. */
const MAX_LENGTH = 128

const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_. ]/g, '')

/**
 * The candidate a person most likely meant, or undefined when none is near.
 * Case and `-`, `_`, `.` do not count, so `maxAttempts` finds `max_attempts`.
 */
export const nearest = (name: string, candidates: Iterable<string>): string | undefined => {
  if (name.length > MAX_LENGTH) return undefined
  const wanted = plain(name)
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of candidates) {
    if (candidate.length > MAX_LENGTH) continue
    const known = plain(candidate)
    let distance = editDistance(wanted, known)
    const prefix = wanted.length >= 3 && known.length >= 3 && (known.startsWith(wanted) || wanted.startsWith(known))
    if (prefix) distance = Math.min(distance, 1)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** ` (did you mean ...?)` ready to append, or nothing. */
export const didYouMean = (name: string, candidates: Iterable<string>): string => {
  const match = nearest(name, candidates)
  return match === undefined ? '' : `; did you mean \`${match}\`?`
}
