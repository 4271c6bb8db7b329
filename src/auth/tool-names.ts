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

/**
 * Names of all tools that a request offers: `tools`, the older `functions`, and the switch `web_search_options`.
 * null = one of them has no name. (OpenAI: Chat Completions `tools`, `functions`; Responses `tools`.)
 */
export const toolNames = (body: Readonly<Record<string, unknown>>): readonly string[] | null => {
  const names: string[] = []
  const { tools, functions, web_search_options: search } = body
  for (const list of [tools, functions]) {
    if (list === undefined || list === null) continue
    if (!Array.isArray(list)) return null
    for (const item of list as readonly unknown[]) {
      const name = list === functions ? nameIn(item) : nameOf(item)
      if (name === null) return null
      names.push(name)
    }
  }
  if (search !== undefined && search !== null) names.push('web_search')
  return names
}
