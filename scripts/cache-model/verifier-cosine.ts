import type { TextVector } from '../../src/contracts/semantic.ts'

/** -1..1; 0 where one of them knows nothing. */
export const cosine = (a: TextVector, b: TextVector): number => {
  if (a.norm === 0 || b.norm === 0) return 0
  let sum = 0
  for (let i = 0; i < a.values.length; i++) sum += (a.values[i] ?? 0) * (b.values[i] ?? 0)
  return sum / (a.norm * b.norm)
}
