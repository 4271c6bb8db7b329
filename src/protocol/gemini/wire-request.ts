import type { ChatRequest, JsonObject, Tool } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { hoist } from '../canonical/history.ts'
import { put } from '../canonical/loose.ts'
import { bareSchema, parametersOf } from '../canonical/schema.ts'
import { contentsOf } from './wire-contents.ts'
import { type GeminiFacts, geminiFacts, thinkingConfig } from './wire-models.ts'

/** Body of models.generateContent, by GenerateContentRequest as @google/genai 3.1 writes it. */
export function geminiRequest(request: ChatRequest, target: WireTarget): JsonObject {
  const facts = geminiFacts(target.model)
  const { instructions, rest } = hoist(request.messages)
  // Vertex knows no ids of calls: it matches results by name and order.
  const contents = contentsOf(rest, facts, !target.type.includes('vertex'))
  const body: JsonObject = { contents }
  const system = instructions.map((part): JsonObject => ({ text: part.text }))
  if (system.length > 0 && facts.system) body['systemInstruction'] = { parts: system }
  else if (system.length > 0) contents[0]!['parts'] = [...system, ...(contents[0]!['parts'] as JsonObject[])]
  const tools = request.tools ?? []
  if (tools.length > 0) {
    body['tools'] = [{ functionDeclarations: tools.map(declaration) }]
    const choice = callingConfig(request, tools)
    if (choice !== null) body['toolConfig'] = { functionCallingConfig: choice }
  }
  const config = generationConfig(request, facts)
  if (Object.keys(config).length > 0) body['generationConfig'] = config
  return body
}

function declaration(tool: Tool): JsonObject {
  const written: JsonObject = { name: tool.name }
  put(written, 'description', tool.description)
  if (tool.schema !== null) written['parametersJsonSchema'] = parametersOf(tool.schema)
  return written
}

function callingConfig({ toolChoice: choice }: ChatRequest, tools: readonly Tool[]): JsonObject | null {
  const free = tools.some((tool) => tool.strict === true) ? 'VALIDATED' : 'AUTO'
  switch (choice?.mode) {
    case 'none':
      return { mode: 'NONE' }
    case 'required':
      return { mode: 'ANY' }
    case 'tool':
      return { mode: 'ANY', allowedFunctionNames: [choice.name] }
    case 'allowed':
      return { mode: choice.required ? 'ANY' : 'VALIDATED', allowedFunctionNames: [...choice.names] }
    default:
      return free === 'VALIDATED' || choice !== undefined ? { mode: free } : null
  }
}

function generationConfig(request: ChatRequest, facts: GeminiFacts): JsonObject {
  const config: JsonObject = {}
  put(config, 'maxOutputTokens', request.maxTokens)
  put(config, 'temperature', request.temperature)
  put(config, 'topP', request.topP)
  put(config, 'topK', request.topK)
  put(config, 'frequencyPenalty', request.frequencyPenalty)
  put(config, 'presencePenalty', request.presencePenalty)
  put(config, 'seed', request.seed)
  put(config, 'candidateCount', request.n)
  if ((request.stop?.length ?? 0) > 0) config['stopSequences'] = [...request.stop!]
  if (request.logprobs === true) {
    config['responseLogprobs'] = true
    if ((request.topLogprobs ?? 0) > 0) config['logprobs'] = request.topLogprobs!
  }
  if (request.format !== undefined) {
    config['responseMimeType'] = 'application/json'
    if (request.format.type === 'schema') config['responseJsonSchema'] = bareSchema(request.format.schema)
  }
  put(config, 'thinkingConfig', thinkingConfig(facts, request.reasoning))
  return config
}
