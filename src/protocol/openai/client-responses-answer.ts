import type { JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder } from '../../contracts/dialect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import type { Block, CollectedChoice, RefusalBlock, TextBlock } from '../canonical/collect.ts'
import {
  ItemIds,
  ResponseFrame,
  annotationOf,
  callItem,
  callProof,
  encryptedOf,
  endingOf,
  messageItem,
  newPart,
  reasoningItem,
} from './client-responses-parts.ts'
import type { TextPartState } from './client-responses-parts.ts'

/** A whole response (openai-openapi `Response`). The dialect has one choice; others are not told. */
export class ResponsesAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const choice = this.at(0)
    const refused = choice.blocks.some((block) => block.type === 'refusal')
    const ending = endingOf(choice.reason, refused)
    const output = items(choice, new ItemIds(this.#context), ending.status === 'incomplete')
    const response = new ResponseFrame(this.#context).json(this.id, ending, output, this.used)
    this.#context.keeps?.done(response)
    return JSON.stringify(response)
  }
}

function items(choice: CollectedChoice, ids: ItemIds, cut: boolean): JsonObject[] {
  const output: JsonObject[] = []
  let told: (TextBlock | RefusalBlock)[] = []
  const tell = (last: boolean): void => {
    if (told.length === 0) return
    const status = last && cut ? 'incomplete' : 'completed'
    output.push(messageItem(ids.of('msg', output.length), messageParts(told, choice), status))
    told = []
  }
  for (const block of choice.blocks) {
    if (block.type === 'text' || block.type === 'refusal') {
      told.push(block)
      continue
    }
    tell(false)
    otherItems(block, ids, output)
  }
  tell(true)
  return output
}

function otherItems(block: Exclude<Block, TextBlock | RefusalBlock>, ids: ItemIds, output: JsonObject[]): void {
  if (block.type === 'reasoning') {
    output.push(reasoningItem(ids.of('rs', output.length), block.text, encryptedOf(block)))
    return
  }
  const proof = callProof(block)
  if (proof !== null) output.push(reasoningItem(ids.of('rs', output.length), '', proof))
  output.push(callItem(ids.of(block.custom ? 'ctc' : 'fc', output.length), block, false))
}

/** Texts in a row are one part, whose citations say by numbers where they belong. */
function messageParts(blocks: readonly (TextBlock | RefusalBlock)[], choice: CollectedChoice): TextPartState[] {
  const parts: TextPartState[] = []
  let from = 0
  for (const block of blocks) {
    const type = block.type === 'text' ? 'output_text' : 'refusal'
    let part = parts.at(-1)
    if (part?.type !== type) {
      part = newPart(type)
      parts.push(part)
      if (block.type === 'text') from = block.from
    }
    part.text += block.text
    if (block.type !== 'text') continue
    for (const citation of block.citations) {
      const annotation = annotationOf(citation, from, block.from, block.from + block.text.length)
      if (annotation !== null) part.annotations.push(annotation)
    }
  }
  // Which token stands in which part nobody says: the last text has them all, as most answers have just one.
  const last = parts.findLast((part) => part.type === 'output_text')
  if (last !== undefined && blocks.includes(choice.blocks.findLast((block) => block.type === 'text')!))
    last.logprobs.push(...choice.logprobs)
  return parts
}
