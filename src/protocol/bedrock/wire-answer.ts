import type { Citation, FinishReason, Json, Opaque } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { asObject, fieldsOf, isFields, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'
import { ANSWER_TOOL } from './wire-request.ts'

/** Answers and events of Converse, by ConverseResponse and ConverseStreamOutput of @aws-sdk/client-bedrock-runtime 3.1164. */

const REASONS: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  stop_sequence: 'stop_sequence',
  tool_use: 'tool_calls',
  content_filtered: 'content_filter',
  guardrail_intervened: 'content_filter',
  malformed_model_output: 'error',
  malformed_tool_use: 'error',
}

/** Of exceptions within a stream: API reference, ConverseStream. */
const STATUSES: Readonly<Record<string, number>> = {
  throttlingException: 429,
  validationException: 400,
  serviceUnavailableException: 503,
}

/** 500 = of an exception that is not known. */
export const exceptionStatus = (name: string): number => STATUSES[name] ?? 500

const opaque = (value: string): Opaque => ({ by: 'bedrock.converse', value })

const inputText = (input: unknown): string =>
  typeof input === 'string' ? input : input === undefined || input === null ? '{}' : JSON.stringify(input)

function citationOf(value: Loose): Citation {
  const url = textOf(fieldsOf(fieldsOf(value['location'])['web'])['url'])
  const title = textOf(value['title'])
  const quote = listOf(value['sourceContent'])
    .map((one) => textOf(fieldsOf(one)['text']))
    .join('')
  return {
    ...(url === '' ? {} : { url }),
    ...(title === '' ? {} : { title }),
    ...(quote === '' ? {} : { quote }),
    native: { by: 'bedrock.converse', value: asObject(value) },
  }
}

function tellReason(choice: Choice, said: Loose): void {
  if (typeof said['stopReason'] !== 'string') return
  choice.reason = REASONS[said['stopReason']] ?? 'stop'
  const fields = fieldsOf(said['additionalModelResponseFields'])
  choice.sequence = textOf(fieldsOf(fields['delta'])['stop_sequence']) || textOf(fields['stop_sequence'])
}

export function bedrockAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  const content = fieldsOf(fieldsOf(body['output'])['message'])['content']
  if (!Array.isArray(content)) return textOf(body['message']) === '' ? 'invalid' : 'error'
  const teller = new Teller(sink)
  const choice = teller.choice(0)!
  teller.start('', '')
  for (const block of content as readonly unknown[]) tellBlock(teller, choice, fieldsOf(block))
  tellReason(choice, body)
  teller.used(readAnswer(body))
  teller.complete()
  return 'ok'
}

function tellBlock(teller: Teller, choice: Choice, block: Loose): void {
  const { sink } = teller
  if (textOf(block['text']) !== '') sink.text(0, textOf(block['text']))
  else if (isFields(block['toolUse'])) {
    const use = block['toolUse']
    if (use['name'] === ANSWER_TOOL) sink.text(0, inputText(use['input']))
    else {
      const index = teller.call(choice, textOf(use['toolUseId']), textOf(use['name']))
      sink.toolArguments(0, index, inputText(use['input']))
    }
  } else if (isFields(block['reasoningContent'])) {
    const { reasoningText, redactedContent } = block['reasoningContent']
    const { text, signature } = fieldsOf(reasoningText)
    if (textOf(text) !== '') sink.reasoning(0, textOf(text))
    if (textOf(signature) !== '') sink.signature(0, opaque(textOf(signature)), '')
    if (textOf(redactedContent) !== '') sink.redacted(0, opaque(textOf(redactedContent)))
  } else if (isFields(block['citationsContent'])) {
    for (const one of listOf(block['citationsContent']['content'])) {
      const text = textOf(fieldsOf(one)['text'])
      if (text !== '') sink.text(0, text)
    }
    for (const one of listOf(block['citationsContent']['citations'])) sink.citation(0, citationOf(fieldsOf(one)))
  }
}

export class BedrockDecoder implements StreamDecoder {
  readonly #teller: Teller
  readonly #choice: Choice
  readonly #usage = new StreamUsage()
  /** Of the block that is open: our index of the call, or what else it is. */
  #call = -1
  #answer = false
  #pieces = false
  #signature = ''
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink) {
    this.#teller = new Teller(sink)
    this.#choice = this.#teller.choice(0)!
  }

  get fault(): Json {
    return this.#fault
  }

  event(name: string, data: string): 'go' | 'end' | 'error' {
    if (this.#ended) return 'end'
    const event = parseEvent(data)
    switch (name) {
      case 'contentBlockDelta':
        this.#delta(fieldsOf(event['delta']))
        return 'go'
      case 'contentBlockStart':
        this.#begin(fieldsOf(event['start']))
        return 'go'
      case 'contentBlockStop':
        this.#close()
        return 'go'
      case 'messageStart':
        this.#teller.start('', '')
        return 'go'
      case 'messageStop':
        this.#close()
        tellReason(this.#choice, event)
        return 'go'
      case 'metadata':
        if (isFields(event['usage'])) this.#usage.feed(event)
        return this.#end()
      default:
        if (name !== 'error' && !name.toLowerCase().endsWith('exception')) return 'go'
        this.#fault = { status: exceptionStatus(name), type: name, ...asObject(event) }
        return 'error'
    }
  }

  close(): boolean {
    // The counts come last; without them the answer is still whole.
    if (!this.#ended && this.#teller.finished) this.#end()
    return this.#ended && this.#teller.started
  }

  #begin(start: Loose): void {
    this.#close()
    this.#teller.start('', '')
    if (!isFields(start['toolUse'])) return
    const use = start['toolUse']
    this.#pieces = false
    this.#answer = use['name'] === ANSWER_TOOL
    if (!this.#answer) this.#call = this.#teller.call(this.#choice, textOf(use['toolUseId']), textOf(use['name']))
  }

  #delta(delta: Loose): void {
    const { sink } = this.#teller
    this.#teller.start('', '')
    if (typeof delta['text'] === 'string') {
      if (delta['text'] !== '') sink.text(0, delta['text'])
    } else if (isFields(delta['toolUse'])) {
      const piece = textOf(delta['toolUse']['input'])
      if (piece === '') return
      if (this.#call >= 0) sink.toolArguments(0, this.#call, piece)
      else if (this.#answer) sink.text(0, piece)
      this.#pieces = true
    } else if (isFields(delta['reasoningContent'])) {
      const { text, signature, redactedContent } = delta['reasoningContent']
      if (textOf(text) !== '') sink.reasoning(0, textOf(text))
      if (textOf(redactedContent) !== '') sink.redacted(0, opaque(textOf(redactedContent)))
      this.#signature += textOf(signature)
    } else if (isFields(delta['citation'])) sink.citation(0, citationOf(delta['citation']))
  }

  /** Texts and thoughts have no start of their own: only what they leave open is closed here. */
  #close(): void {
    if (this.#signature !== '') this.#teller.sink.signature(0, opaque(this.#signature), '')
    if (!this.#pieces && this.#call >= 0) this.#teller.sink.toolArguments(0, this.#call, '{}')
    if (!this.#pieces && this.#answer) this.#teller.sink.text(0, '{}')
    this.#signature = ''
    this.#call = -1
    this.#answer = false
  }

  #end(): 'end' | 'go' {
    if (!this.#teller.finished) return 'go'
    this.#close()
    this.#ended = true
    this.#teller.used(this.#usage.usage)
    this.#teller.complete()
    return 'end'
  }
}
