/** Which tools an answer calls, and with what. */
import { createLift, wordsOf } from './brain-lift.ts'
import { smallestInstance } from './brain-schema.ts'
import { lastUserText } from './brain-text.ts'
import { asObject } from './json.ts'
import type { Prompt, ToolCall, ToolSpec } from './prompt.ts'
import { hexId } from './random.ts'

/** Words too common in tool names to tell one tool from another. */
const PLAIN = new Set(
  (
    'api args call create current data delete do fetch find for from function generate get info list lookup make my of query ' +
    'random read run search set show the tool tools update use user value with'
  ).split(' '),
)

const distinctive = (name: string): string[] => {
  const words = wordsOf(name)
  const rare = words.filter((word) => word.length > 2 && !PLAIN.has(word))
  return rare.length > 0 ? rare : words
}

const escapeRegExp = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

const positionOfName = (text: string, name: string): number =>
  text.search(new RegExp(String.raw`(?<![\p{L}\p{N}_-])${escapeRegExp(name)}(?![\p{L}\p{N}_-])`, 'iu'))

/** Share of the tool's distinctive words that the text holds, 0..1. A plural counts as the word. */
const affinity = (words: ReadonlySet<string>, name: string): number => {
  const wanted = distinctive(name)
  const hits = wanted.filter(
    (word) => words.has(word) || words.has(`${word}s`) || (word.endsWith('s') && words.has(word.slice(0, -1))),
  )
  return wanted.length === 0 ? 0 : hits.length / wanted.length
}

/** Tools whose names stand in the text, in the text's order; none: those whose distinctive words do. */
const mentioned = (tools: readonly ToolSpec[], text: string): ToolSpec[] => {
  const byName = tools
    .map((tool) => ({ tool, at: positionOfName(text, tool.name) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
  if (byName.length > 0) return byName.map(({ tool }) => tool)
  const words = new Set(wordsOf(text))
  const scored = tools.map((tool) => ({ tool, score: affinity(words, tool.name) })).filter(({ score }) => score > 0)
  const whole = scored.filter(({ score }) => score === 1)
  const best = scored.toSorted((a, b) => b.score - a.score).slice(0, 1)
  return (whole.length > 0 ? whole : best).map(({ tool }) => tool)
}

const calledSinceUser = (prompt: Prompt): ReadonlySet<string> => {
  const start = prompt.messages.findLastIndex((message) => message.role === 'user') + 1
  return new Set(prompt.messages.slice(start).flatMap((message) => message.calls.map((call) => call.name)))
}

const chooseTools = (prompt: Prompt, text: string): readonly ToolSpec[] => {
  const { tools, toolChoice, parallel } = prompt
  if (tools.length === 0 || toolChoice.mode === 'none') return []
  if (toolChoice.mode === 'named') return tools.filter((tool) => tool.name === toolChoice.name).slice(0, 1)
  const limit = (found: readonly ToolSpec[]): readonly ToolSpec[] => (parallel ? found : found.slice(0, 1))
  if (toolChoice.mode === 'required') {
    const found = mentioned(tools, text)
    return found.length > 0 ? limit(found) : tools.slice(0, 1)
  }
  if (prompt.messages.at(-1)?.role !== 'tool') return limit(mentioned(tools, text))
  if (parallel) return []
  // One call a turn: the tools named in the question that have not had theirs yet come next.
  const done = calledSinceUser(prompt)
  return limit(tools.filter((tool) => !done.has(tool.name) && positionOfName(text, tool.name) >= 0))
}

/** @param seed what the ids of the calls depend on. */
export const chooseCalls = (prompt: Prompt, seed: number): ToolCall[] => {
  const text = lastUserText(prompt.messages)
  const chosen = chooseTools(prompt, text)
  if (chosen.length === 0) return []
  return chosen.map((tool, index) => {
    const id = `call_${hexId(`${seed}/${prompt.messages.length}/${index}/${tool.name}`, 24)}`
    const lift = createLift(text)
    if (tool.kind === 'custom') return { kind: 'custom', id, name: tool.name, input: lift.string('', {}) ?? text }
    const schema = asObject(tool.parameters) ?? {}
    const input = smallestInstance(
      { type: 'object', ...schema },
      { lift, allProperties: tool.strict, liftOptional: true },
    )
    return { kind: 'function', id, name: tool.name, input: JSON.stringify(input ?? {}) }
  })
}
