import type { RequestFacts, RequestNeeds } from '../contracts/routing.ts'
import type { ExpressionVariables } from '../core/expression.ts'

/** Of a request that is no JSON, or whose JSON nobody reads. */
export const NO_NEEDS: RequestNeeds = {
  tools: false,
  vision: false,
  audio: false,
  jsonSchema: false,
  textBytes: 0,
  attachedBytes: 0,
  attachedTokens: 0,
  promptTokens: 0,
  maxTokens: 0,
  choices: 1,
}

const NO_MCP: object = {}

/** What expressions see of a request; the body only where it is asked for, since parsing it costs the most. */
export function variablesOf(facts: RequestFacts, needsBody: boolean): ExpressionVariables {
  const { model, operation, stream, principal } = facts
  const mcp = facts.mcp ?? NO_MCP
  const common = { headers: facts.headers(), model, operation, stream, principal: principal.variables, mcp }
  if (!needsBody) return common
  const request = facts.json()
  return { ...common, request, metadata: request['metadata'] ?? {} }
}
