import type { Message } from '../../contracts/canonical.ts'
import { isInstruction, joinedText } from '../canonical/history.ts'

/**
 * A conversation as one prompt, for servers that know no messages. The words around the turns are the model's own where its
 * name tells them (as its chat template on Hugging Face has them), else plain ones.
 */
interface Template {
  /** Pieces of model names, lower case; none = all others. */
  readonly models: readonly string[]
  /** Before everything. */
  readonly begin: string
  readonly open: (role: 'system' | 'user' | 'assistant') => string
  readonly close: string
  /** What must not stand in a message, or its author could speak in another's place. */
  readonly marks: readonly string[]
}

const TITLES = { system: 'System', user: 'User', assistant: 'Assistant' } as const

const TEMPLATES: readonly Template[] = [
  {
    models: ['llama-3', 'llama3'],
    begin: '<|begin_of_text|>',
    open: (role) => `<|start_header_id|>${role}<|end_header_id|>\n\n`,
    close: '<|eot_id|>',
    marks: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  },
  {
    models: ['qwen', 'hermes', 'chatml'],
    begin: '',
    open: (role) => `<|im_start|>${role}\n`,
    close: '<|im_end|>\n',
    marks: ['<|im_start|>', '<|im_end|>'],
  },
  { models: [], begin: '', open: (role) => `${TITLES[role]}: `, close: '\n\n', marks: [] },
]

/** Ends where the answer begins; with the beginning of it when the last message is the assistant's. */
export function renderPrompt(messages: readonly Message[], model: string): string {
  const name = model.toLowerCase()
  const template = TEMPLATES.find(({ models }) => models.length === 0 || models.some((part) => name.includes(part)))!
  let prompt = template.begin
  messages.forEach((message, at) => {
    const role = isInstruction(message) ? 'system' : message.role === 'assistant' ? 'assistant' : 'user'
    prompt += template.open(role) + unmarked(textOf(message), template.marks)
    if (role !== 'assistant' || at < messages.length - 1) prompt += template.close
  })
  if (messages.at(-1)?.role !== 'assistant') prompt += template.open('assistant').trimEnd()
  return prompt
}

/** Calls and results of an earlier backend are told as text. */
function textOf({ parts }: Message): string {
  const texts = parts.map((part) => {
    if (part.type === 'tool_call') return `${part.name}(${part.arguments})`
    return part.type === 'tool_result' ? joinedText(part.content) : joinedText([part])
  })
  return texts.filter((text) => text !== '').join('\n')
}

/** Again and again: taking out one mark may put another together. */
function unmarked(text: string, marks: readonly string[]): string {
  let clean = text
  while (marks.some((mark) => clean.includes(mark))) for (const mark of marks) clean = clean.replaceAll(mark, '')
  return clean
}
