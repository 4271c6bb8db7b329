/** Plain text: a known answer where there is one, else seeded sentences about the words of the prompt. */
import { knownAnswer } from './brain-facts.ts'
import type { Message, Prompt } from './prompt.ts'
import { hash32, pickFrom, seededRandom } from './random.ts'
import { countTokens } from './tokens.ts'

const OPENINGS = [
  'Here is a short answer about {topic}.',
  'Let us look at {topic} step by step.',
  'There is more than one way to see {topic}.',
  'A good place to begin with {topic} is the simplest case.',
  'Most of what matters about {topic} fits in a few lines.',
] as const

const MIDDLES = [
  'First, {topic} depends on {other}, which sets the pace for everything after it.',
  'In practice, people who know {topic} well check {other} before they change anything.',
  'The usual mistake is to treat {topic} as if {other} did not exist.',
  'Each part of {topic} can be tried on its own, and then joined to {other}.',
  'When {other} is steady, {topic} becomes predictable as well.',
  'It helps to write down what you expect of {topic} and compare it with {other}.',
  'Threads cross one another here: {topic} on one side, {other} on the other.',
] as const

const CLOSINGS = [
  'In short, keep {topic} simple and measure the result.',
  'That is usually enough to make {topic} work.',
  'If you tell me more about {other}, I can be more exact.',
  'Start small, look at {other}, and go on from there.',
] as const

const OTHERS = [
  'the pattern',
  'the order of the steps',
  'the loom',
  'time',
  'the first measurement',
  'the details',
] as const

const COMMON = new Set(
  (
    'about after again also answer because before being between could does doing explain from give have having here into ' +
    'just like make more most much only other over please question short should some such tell than that their them then ' +
    'there these they this those very want were what when where which while will with would write your'
  ).split(' '),
)

/** The rarest-looking words of a text, in its order: what a seeded answer talks about. */
const topicsOf = (text: string): string[] => {
  const words = text.slice(-4_000).match(/\p{L}[\p{L}'-]{3,24}/gu) ?? []
  return [...new Set(words.filter((word) => !COMMON.has(word.toLowerCase())))].slice(-12)
}

const fill = (template: string, topics: readonly string[], random: () => number): string => {
  const pickTopic = (): string => topics[Math.floor(random() * topics.length)] ?? 'this'
  return template.replaceAll(/\{(topic|other)\}/g, (_, slot: string) =>
    slot === 'topic' || (topics.length > 2 && random() < 0.5) ? pickTopic() : pickFrom(OTHERS, random),
  )
}

const paragraph = (text: string, random: () => number): string => {
  const topics = topicsOf(text)
  const middles = 1 + Math.floor(random() * 3)
  const sentences = [fill(pickFrom(OPENINGS, random), topics, random)]
  for (let i = 0; i < middles; i++) sentences.push(fill(pickFrom(MIDDLES, random), topics, random))
  sentences.push(fill(pickFrom(CLOSINGS, random), topics, random))
  return sentences.join(' ')
}

const REFLECTIONS = [
  'The question is about {topic}.',
  'I should say what {topic} means here before I say more.',
  'If {topic} depends on {other}, the answer has to mention it.',
  'I compare {topic} with {other} and keep what holds.',
  'That fits; I can answer now, shortly.',
] as const

/** @returns at least that many tokens. */
export const reasoningSentences = (text: string, seed: number, tokens: number): string => {
  const random = seededRandom(hash32('reasoning', seed))
  const topics = topicsOf(text)
  let sentences = ''
  for (let count = 0; count < tokens;) {
    const next = `${sentences === '' ? '' : ' '}${fill(pickFrom(REFLECTIONS, random), topics, random)}`
    sentences += next
    count += countTokens(next)
  }
  return sentences
}

export const lastUserText = (messages: readonly Message[]): string =>
  messages.findLast((message) => message.role === 'user')?.text ?? messages.at(-1)?.text ?? ''

/** Results that came in after the last assistant turn; empty if the conversation does not end with tool results. */
const freshResults = (messages: readonly Message[]): readonly Message[] => {
  const start = messages.findLastIndex((message) => message.role !== 'tool') + 1
  return messages.slice(start)
}

const quoteResults = (results: readonly Message[]): string =>
  results
    .map(
      (result) =>
        `${result.toolName === undefined ? 'The tool' : `The tool ${result.toolName}`} returned: ${result.text}`,
    )
    .join('\n')

const MAX_MIN_TOKENS = 100_000

/** @param choice 0-based; the first choice is the plain answer, the others vary it. */
export const composeText = (prompt: Prompt, seed: number, choice: number): string => {
  const random = seededRandom(hash32('text', seed))
  const results = freshResults(prompt.messages)
  const asked = lastUserText(prompt.messages)
  const media = prompt.messages.findLast((message) => message.role === 'user')?.media ?? []
  const earlier = (): string =>
    prompt.messages
      .slice(0, -1)
      .map((message) => message.text)
      .join('\n')
  let text = results.length > 0 ? quoteResults(results) : (knownAnswer(asked, earlier()) ?? paragraph(asked, random))
  if (media.length > 0) text += ` I received ${media.join(', ')}.`
  if (choice > 0) text += ` ${fill(pickFrom(MIDDLES, random), topicsOf(asked), random)}`
  const least = Math.min(prompt.minTokens, MAX_MIN_TOKENS)
  for (let tokens = least > 0 ? countTokens(text) : 0; tokens < least;) {
    const more = ` ${paragraph(asked, random)}`
    text += more
    tokens += countTokens(more)
  }
  return text + prompt.suffix
}
