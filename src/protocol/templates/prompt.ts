import type { ChatRequest, Message, Part } from '../../contracts/canonical.ts'
import type { PromptConfig } from '../../contracts/config-mapping.ts'

/**
 * A conversation as one text, as models with a plain text input were trained on it. Presets by the models' own templates:
 * ChatML (openai/openai-python chatml.md), Llama 3 (meta-llama/llama3 tokenizer.py ChatFormat), Llama 2 and Mistral (`inst`).
 * The token that begins a text (`<s>`) is added by the models' tokenizers and left out where they do.
 */
export const PROMPT_PRESETS: Readonly<Record<string, Omit<PromptConfig, 'template' | 'markers'>>> = {
  plain: {
    begin: '',
    system: '{{content}}\n\n',
    user: 'User: {{content}}\n',
    assistant: 'Assistant: {{content}}\n',
    end: 'Assistant:',
    systemInUser: false,
    loneAsIs: true,
  },
  chatml: {
    begin: '',
    system: '<|im_start|>system\n{{content}}<|im_end|>\n',
    user: '<|im_start|>user\n{{content}}<|im_end|>\n',
    assistant: '<|im_start|>assistant\n{{content}}<|im_end|>\n',
    end: '<|im_start|>assistant\n',
    systemInUser: false,
    loneAsIs: false,
  },
  llama3: {
    begin: '<|begin_of_text|>',
    system: '<|start_header_id|>system<|end_header_id|>\n\n{{content}}<|eot_id|>',
    user: '<|start_header_id|>user<|end_header_id|>\n\n{{content}}<|eot_id|>',
    assistant: '<|start_header_id|>assistant<|end_header_id|>\n\n{{content}}<|eot_id|>',
    end: '<|start_header_id|>assistant<|end_header_id|>\n\n',
    systemInUser: false,
    loneAsIs: false,
  },
  inst: {
    begin: '',
    system: '<<SYS>>\n{{content}}\n<</SYS>>\n\n',
    user: '[INST] {{content}} [/INST]',
    assistant: ' {{content}} </s>',
    end: '',
    systemInUser: true,
    loneAsIs: false,
  },
}

const CONTENT = '{{content}}'
/** What tokenizers make single tokens of, as templates write them. */
const MARKER = /<\|[^|<>\s]{1,64}\|>|<\/?s>|\[\/?[A-Z_]{2,32}\]|<<\/?[A-Z]{2,16}>>/g

/** The tokens that the lines of a template are made of. */
export const markersOf = (lines: readonly string[]): readonly string[] => [
  ...new Set(lines.flatMap((line) => line.match(MARKER) ?? [])),
]

/** Until none is left: what stands around one may be one once it has gone. */
function withoutMarkers(text: string, markers: readonly string[]): string {
  let clean = text
  for (let before = ''; before !== clean;) {
    before = clean
    for (const marker of markers) if (clean.includes(marker)) clean = clean.replaceAll(marker, '')
  }
  return clean
}

/** What was said, without pictures and the like. Calls of tools and their results as they are read by people. */
export function textOfParts(parts: readonly Part[]): string {
  let text = ''
  for (const part of parts) {
    if (part.type === 'text' || part.type === 'refusal') text += part.text
    else if (part.type === 'tool_call') text += `${part.name}(${part.arguments})`
    else if (part.type === 'tool_result') text += textOfParts(part.content)
  }
  return text
}

const fillLine = (line: string, content: string): string => line.split(CONTENT).join(content)

type Turn = { readonly role: 'system' | 'user' | 'assistant'; readonly content: string }

function turnsOf(messages: readonly Message[], markers: readonly string[]): readonly Turn[] {
  return messages.map(({ role, parts }) => ({
    role: role === 'assistant' ? 'assistant' : role === 'system' || role === 'developer' ? 'system' : 'user',
    content: withoutMarkers(textOfParts(parts), markers),
  }))
}

/** What an answer that the client has begun looks like: its line, up to what closes it. */
const opened = (line: string, content: string): string => fillLine(line.slice(0, line.indexOf(CONTENT)), '') + content

/** The prompt of a request. */
export function renderPrompt({ messages }: Pick<ChatRequest, 'messages'>, prompt: PromptConfig): string {
  const turns = turnsOf(messages, prompt.markers)
  if (prompt.loneAsIs && turns.length === 1 && turns[0]!.role === 'user') return turns[0]!.content
  let text = prompt.begin
  let held = ''
  for (const [i, { role, content }] of turns.entries()) {
    if (role === 'system' && prompt.systemInUser) held += fillLine(prompt.system, content)
    else if (role === 'assistant' && i === turns.length - 1) return text + opened(prompt.assistant, content)
    else {
      text += fillLine(prompt[role], role === 'user' ? held + content : content)
      if (role === 'user') held = ''
    }
  }
  if (held !== '') text += fillLine(prompt.user, held)
  return text + prompt.end
}
