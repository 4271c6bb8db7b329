import { MAX_HITS } from './kernels.ts'

/** What a search found, best first; made once and written over by each search. */
export class Hits {
  count = 0
  readonly entries = new Float64Array(MAX_HITS)
  /** -1..1, exact for the 8-bit vectors. */
  readonly cosines = new Float64Array(MAX_HITS)
}
