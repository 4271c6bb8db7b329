import type { Candidate } from '../../contracts/semantic.ts'

/** What the candidates say together, as numbers; the order is that of the weights. */
export const FEATURES = [
  'cosine',
  'verifier',
  'cosine_margin',
  'verifier_margin',
  'agreeing',
  'disagreeing',
  'share',
  'rivals_near',
  'right',
  'wrong',
  'vetoed_near',
] as const

/**
 * Where the nearest is farther than this, nothing is near: most questions end here. Of 3,000 requests of three traces whose nearest was
 * farther, the evidence would have let one be served.
 */
const NEAR_COSINE = 0.55
/** Who is so much farther than the nearest has next to no say, and is not compared. */
const BEHIND = 0.12

/** How many of the nearest, best first, are worth comparing. */
export function worthComparing(cosines: ArrayLike<number>, found: number): number {
  if (found === 0 || cosines[0]! < NEAR_COSINE) return 0
  let count = 1
  while (count < found && cosines[count]! >= cosines[0]! - BEHIND) count++
  return count
}

/** Closeness falls to 1/e over so much of a cosine, when neighbours vote. */
const REACH = 0.06

/**
 * Who answers something else rather than the same, as the verifier sees it, is not elected however near it lies and however many
 * agree with it: neighbours can be had for a question that was made to lie among them. On the open traces the hits with it and without differ by no more than chance.
 */
const LEAST_SCORE = 0.5

const likeness = (candidate: Candidate): number => 0.5 * candidate.cosine + 0.5 * candidate.score

/**
 * Writes the features for the answer that the neighbours would give, and returns whose answer it is: the index of its best candidate;
 * -1 = nobody may answer. Neighbours vote, nearer ones louder; one that is forbidden, or unlikely by itself, votes, too, but does not stand for election.
 */
export function readEvidence(candidates: readonly Candidate[], out: Float64Array): number {
  let best = -1
  let bestVote = -1
  const nearest = candidates.reduce((most, c) => Math.max(most, likeness(c)), -1)
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]!
    if (candidate.veto !== null || candidate.score < LEAST_SCORE) continue
    let vote = 0
    for (const other of candidates) {
      if (other.answer === candidate.answer) vote += Math.exp((likeness(other) - nearest) / REACH)
    }
    // Of one class the nearest speaks.
    if (vote > bestVote + 1e-12 || (vote > bestVote - 1e-12 && likeness(candidate) > likeness(candidates[best]!))) {
      best = i
      bestVote = vote
    }
  }
  if (best >= 0) describe(candidates, best, nearest, bestVote, out)
  return best
}

function describe(
  candidates: readonly Candidate[],
  best: number,
  nearest: number,
  vote: number,
  out: Float64Array,
): void {
  const chosen = candidates[best]!
  let all = 0
  let agreeing = 0
  let disagreeing = 0
  let rivalCosine = -1
  let rivalScore = 0
  let near = 0
  let vetoed = 0
  let right = 0
  let wrong = 0
  for (const other of candidates) {
    const closeness = Math.exp((likeness(other) - nearest) / REACH)
    all += closeness
    if (other.answer === chosen.answer) {
      right += other.right
      wrong += other.wrong
      if (other !== chosen) agreeing += Math.exp((other.cosine - chosen.cosine) / REACH / 2)
      if (other.veto !== null) vetoed += closeness
    } else {
      disagreeing += Math.exp((other.cosine - chosen.cosine) / REACH / 2)
      rivalCosine = Math.max(rivalCosine, other.cosine)
      rivalScore = Math.max(rivalScore, other.score)
      if (other.cosine > chosen.cosine - 0.1) near++
    }
  }
  out[0] = chosen.cosine
  out[1] = chosen.score
  out[2] = chosen.cosine - Math.max(rivalCosine, 0)
  out[3] = chosen.score - rivalScore
  out[4] = Math.log1p(agreeing)
  out[5] = Math.log1p(disagreeing)
  out[6] = vote / all
  out[7] = near
  out[8] = Math.log1p(right)
  out[9] = Math.log1p(wrong)
  out[10] = vetoed
}
