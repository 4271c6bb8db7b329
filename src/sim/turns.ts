/** Some wires demand that roles alternate, others do not: the model reads both the same way. */
import type { Message } from './prompt.ts'

const joined = (a: string, b: string): string => (a === '' || b === '' ? a + b : `${a}\n${b}`)

/** Neighbours of one role become one message; results of tools stay apart. */
export const joinTurns = (messages: readonly Message[]): readonly Message[] => {
  if (!messages.some(({ role }, index) => role !== 'tool' && messages[index + 1]?.role === role)) return messages
  const turns: Message[] = []
  for (const message of messages) {
    const last = turns.at(-1)
    if (last === undefined || last.role !== message.role || message.role === 'tool') turns.push(message)
    else {
      turns[turns.length - 1] = {
        ...last,
        text: joined(last.text, message.text),
        media: [...last.media, ...message.media],
        calls: [...last.calls, ...message.calls],
      }
    }
  }
  return turns
}
