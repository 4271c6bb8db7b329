import type { ResponsesConfig } from '../contracts/config-responses.ts'

const MASK = '***'

/** Fit for a dump: how many keys there are shows, not what they are. */
export const maskResponses = (responses: ResponsesConfig | null): ResponsesConfig | null =>
  responses === null ? null : { ...responses, keys: responses.keys.map(() => MASK) }
