import type { Provider, RequestFacts } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'

/** Its backend counts tokens itself, by the path that the client has asked. */
export const countsItself = ({ config }: Provider, { operation }: RequestFacts): boolean =>
  config.operations.includes(operation)

/** None of the targets counts: the answer is Heddle's own, by what calls of this model have shown. */
export const mustEstimate = (x: Exchange): boolean =>
  x.match?.route.targets.every(({ provider }) => !countsItself(provider, x)) === true

/** In the words of the client: platform.claude.com/docs/en/api/messages-count-tokens, ai.google.dev/api/tokens. */
export function countBody(x: Exchange): string {
  const tokens = x.account.promptTokens
  return JSON.stringify(x.operation === 'messages' ? { input_tokens: tokens } : { totalTokens: tokens })
}
