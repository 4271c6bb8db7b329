/** Words in the last user message that make a model do what it seldom does. Where the vendor has such words, they work as well. */
import { lastUserText } from './brain-text.ts'
import type { Prompt } from './prompt.ts'

const found =
  (words: RegExp) =>
  (prompt: Prompt): boolean =>
    words.test(lastUserText(prompt.messages))

/** What it thinks is hidden. Anthropic documents `ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING_` and a checksum. */
export const wantsRedaction = found(/TRIGGER_REDACTED_THINKING/)
/** The model will not. */
export const wantsRefusal = found(/TRIGGER_REFUSAL/)
/** The prompt is not let through. */
export const wantsBlock = found(/TRIGGER_BLOCK/)
