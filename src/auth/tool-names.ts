const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const nameIn = (value: unknown): string | null =>
  isObject(value) && typeof value['name'] === 'string' ? value['name'] : null

/**
 * The name that rules know a tool by: of a function or custom tool its own name (nested in Chat Completions, flat in
 * Responses), of a built-in one its type, such as `web_search`. null = neither.
 */
const nameOf = (tool: unknown): string | null => {
  if (!isObject(tool)) return null
  const type = tool['type']
  // Without a type some servers take `{ function: {...} }` for a function.
  if (type === undefined || type === 'function' || type === 'custom') {
    const nested = tool[type === 'custom' ? 'custom' : 'function']
    return nested === undefined ? nameIn(tool) : nameIn(nested)
  }
  return typeof type === 'string' ? type : null
}

type Body = Readonly<Record<string, unknown>>

/** Gemini has its functions in lists, and tools of its own as keys (`googleSearch: {}`). */
const geminiNames = (tool: Readonly<Record<string, unknown>>): readonly string[] | null => {
  const names: string[] = []
  for (const [key, value] of Object.entries(tool)) {
    const declared = key === 'functionDeclarations' || key === 'function_declarations'
    const found = declared ? simpleNames(value, 'name') : [key]
    if (found === null) return null
    names.push(...found)
  }
  return names.length === 0 ? null : names
}

const isGemini = (tool: unknown): tool is Readonly<Record<string, unknown>> =>
  isObject(tool) && !['type', 'name', 'function', 'custom'].some((key) => key in tool)

/** Tools that are grouped are judged one by one. null = one of them has no name. */
const namesOf = (list: unknown): readonly string[] | null => {
  if (!Array.isArray(list)) return null
  const names: string[] = []
  for (const tool of list as readonly unknown[]) {
    const grouped = isObject(tool) && tool['type'] === 'namespace'
    const found = grouped ? namesOf(tool['tools']) : isGemini(tool) ? geminiNames(tool) : nameOf(tool)
    if (found === null) return null
    if (typeof found === 'string') names.push(found)
    else names.push(...found)
  }
  return names
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

/** Items of a conversation that bring tools with them. */
const CARRIERS: readonly unknown[] = ['additional_tools', 'tool_search_output']

const carriedIn = (input: unknown): readonly unknown[] =>
  Array.isArray(input)
    ? (input as readonly unknown[]).flatMap((item) =>
        isObject(item) && CARRIERS.includes(item['type']) ? [item['tools']] : [],
      )
    : []

/** The older `functions`, and plugins of OpenRouter, which have an id. */
const simpleNames = (list: unknown, member: 'name' | 'id'): readonly string[] | null => {
  if (!Array.isArray(list)) return null
  const names = (list as readonly unknown[]).map((item) => (isObject(item) ? item[member] : null))
  return names.every((name) => typeof name === 'string') ? names : null
}

/**
 * Names of all tools that a request offers, wherever they stand. null = one of them has no name, or nobody here can know
 * which there are: a stored prompt (`prompt: { id }`) has tools of its own. Sources: OpenAI's Chat Completions (`tools`,
 * `functions`, `web_search_options`) and Responses (`tools`, tools of type `namespace`, input items `additional_tools` and
 * `tool_search_output`, `prompt`); Anthropic (`tools`, `mcp_servers`); Gemini (`tools[].functionDeclarations`); OpenRouter
 * (`plugins`); xAI (`search_parameters`).
 */
export const toolNames = (body: Body): readonly string[] | null => {
  const { tools, functions, plugins, input, prompt, web_search_options: search, search_parameters: live } = body
  // Stored prompts and remote servers have tools of their own.
  if (isObject(prompt) || isGiven(body['mcp_servers'])) return null
  const lists = [
    ...[tools].filter(isGiven).map(namesOf),
    ...carriedIn(input).map(namesOf),
    ...[functions].filter(isGiven).map((list) => simpleNames(list, 'name')),
    ...[plugins].filter(isGiven).map((list) => simpleNames(list, 'id')),
    ...[search, live].filter(isGiven).map(() => ['web_search']),
  ]
  return lists.includes(null) ? null : lists.flatMap((names) => names ?? [])
}
