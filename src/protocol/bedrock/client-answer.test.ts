import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FinishReason, JsonObject, Opaque, Part } from '../../contracts/canonical.ts'
import type { AnswerContext } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  USED,
  bodyOf,
  contents,
  contextOf,
  joined,
  partsOf,
  play,
  whole,
  withObjects,
  type Told,
} from '../../../test/support/client-dialects.ts'
import { Hearer, readStream } from '../../../test/support/translation.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import { readAnswer, readUsage } from '../usage.ts'
import { converseClient } from './client-converse.ts'
import { redactedOf, redactedText } from './client-parts.ts'
import { EventStreamReader } from './event-stream.ts'
import { bedrockConverseWire as wire } from './wire.ts'

// ── answers ─────────────────────────────────────────────────────────────────
interface Frame {
  readonly name: string
  readonly data: JsonObject
}

function framesOf(bytes: Buffer): Frame[] {
  const reader = new EventStreamReader(1 << 20)
  expect(reader.push(bytes)).toBeNull()
  const frames: Frame[] = []
  for (let one = reader.next(); one !== null; one = reader.next())
    frames.push({ name: one.name, data: JSON.parse(one.data) as JsonObject })
  expect(reader.waits).toBe(false)
  return frames
}

/** Taken after each call, or only at the end. */
function bytesOf(script: readonly Told[], often: boolean, context: AnswerContext = contextOf()): Buffer {
  const encoder = converseClient.stream(context)
  const out: Buffer[] = []
  const take = (): void => void out.push(Buffer.from(encoder.take()))
  for (const tell of script) {
    tell(encoder)
    if (often) take()
  }
  take()
  return Buffer.concat(out)
}

/** As SDKs put a stream together, by the index of its blocks; a block that is not the last one is closed. */
function accumulate(frames: readonly Frame[]): JsonObject[] {
  const blocks: JsonObject[] = []
  let open = -1
  const at = (index: number): JsonObject => {
    if (open < 0) expect(index).toBe(blocks.length)
    else expect(index).toBe(open)
    open = index
    return (blocks[index] ??= {})
  }
  for (const { name, data } of frames) {
    const index = data['contentBlockIndex'] as number
    if (name === 'contentBlockStart')
      at(index)['toolUse'] = { ...(data['start'] as { toolUse: JsonObject }).toolUse, input: '' }
    else if (name === 'contentBlockDelta') merge(at(index), data['delta'] as JsonObject)
    else if (name === 'contentBlockStop') {
      at(index)
      open = -1
    }
  }
  expect(open).toBe(-1)
  return blocks.map((block) => {
    const use = block['toolUse'] as JsonObject | undefined
    return use === undefined ? block : { toolUse: { ...use, input: JSON.parse(use['input'] as string) as JsonObject } }
  })
}

function merge(block: JsonObject, delta: JsonObject): void {
  const use = delta['toolUse'] as { input: string } | undefined
  const thoughts = delta['reasoningContent'] as JsonObject | undefined
  if (use !== undefined) (block['toolUse'] as { input: string }).input += use.input
  else if (delta['citation'] !== undefined) {
    const { text: said, citationsContent } = block as { text?: string; citationsContent?: JsonObject }
    const before = (citationsContent?.['citations'] as JsonObject[] | undefined) ?? []
    block['citationsContent'] = { content: [{ text: said ?? '' }], citations: [...before, delta['citation']] }
  } else if (thoughts === undefined)
    block['text'] = `${(block['text'] as string | undefined) ?? ''}${delta['text'] as string}`
  else if (thoughts['redactedContent'] !== undefined) block['reasoningContent'] = thoughts
  else {
    const content = (block['reasoningContent'] ??= { reasoningText: { text: '' } }) as { reasoningText: JsonObject }
    const said = content.reasoningText
    if (thoughts['text'] !== undefined) said['text'] = `${said['text'] as string}${thoughts['text'] as string}`
    if (thoughts['signature'] !== undefined) said['signature'] = thoughts['signature']
  }
}

const back = (content: readonly JsonObject[]): Part[] => {
  const { messages } = converseClient.request({ messages: [{ role: 'assistant', content: [...content] }] }, 'm', false)
  return joined(messages[0]!.parts)
}
const contentOf = (body: JsonObject): JsonObject[] =>
  (body['output'] as { message: { content: JsonObject[] } }).message.content
const cited = (content: readonly JsonObject[]): unknown =>
  content.flatMap((block) => (block['citationsContent'] === undefined ? [] : [block['citationsContent']]))

describe('a Converse answer', () => {
  it('comes back in the history as it was told, whole or streamed', () => {
    fc.assert(
      fc.property(contents({ lateSignatures: true }), (middle) => {
        const script = whole(middle)
        const expected = withObjects(joined(partsOf(script)))
        expect(back(contentOf(bodyOf(converseClient, script)))).toEqual(expected)
        const bytes = bytesOf(script, true)
        expect(bytes.equals(bytesOf(script, false))).toBe(true)
        // One block after another, also where calls took turns: each part is there, whole.
        const streamed = back(accumulate(framesOf(bytes)))
        expect(streamed).toEqual(expected)
      }),
    )
  })

  it('has blobs that bytes can be made of, and back', () => {
    fc.assert(
      fc.property(contents(), (middle) => {
        for (const block of contentOf(bodyOf(converseClient, whole(middle)))) {
          const hidden = (block['reasoningContent'] as JsonObject | undefined)?.['redactedContent']
          if (typeof hidden === 'string') expect(Buffer.from(hidden, 'base64').toString('base64')).toBe(hidden)
        }
      }),
    )
  })

  it.each(['AAEC', 'aGRsMi5yIWFi', 'AB==', 'hdl2.r!x', 'aGRsMS4h', ''])(
    'gives hidden reasoning back as it was: %s',
    (value) => {
      for (const by of ['bedrock.converse', 'anthropic.messages'] as const)
        expect(redactedOf(redactedText({ by, value }))).toEqual({ by, value })
    },
  )

  it('is read by the wire as it was told', () => {
    fc.assert(
      fc.property(contents({ oneByOne: true }), (middle) => {
        const script = whole(middle)
        const told = new CollectedAnswer()
        play(script, told)
        const { calls } = told.at(0)
        for (const stream of [false, true]) {
          const hearer = new Hearer()
          if (stream) readStream('bedrock.converse', bytesOf(script, true), hearer)
          else expect(wire.answer(bodyOf(converseClient, script), hearer)).toBe('ok')
          const { meaning } = hearer
          expect(meaning).toMatchObject({ text: told.at(0).joined('text'), reasoning: told.at(0).joined('reasoning') })
          expect(meaning.calls.map(({ id: of, name, arguments: said }) => [of, name, JSON.parse(said)])).toEqual(
            calls.map((call) => [call.id, call.name, JSON.parse(call.arguments || '{}')]),
          )
          expect(meaning.finish).toBe(calls.length > 0 ? 'tool_calls' : 'stop')
          expect(meaning.usage).toEqual({ ...USED, reasoningTokens: 0 })
          expect(meaning.ended).toBe(true)
        }
      }),
    )
  })

  it('has the same sources whole and streamed', () => {
    fc.assert(
      fc.property(contents({ citations: true }), (middle) => {
        const script = whole(middle)
        expect(cited(accumulate(framesOf(bytesOf(script, true))))).toEqual(
          cited(contentOf(bodyOf(converseClient, script))),
        )
      }),
    )
  })

  it('is an object of the API, and so are the events of its stream', () => {
    let now = 1000
    const context = contextOf({
      sent: { additionalModelResponseFieldPaths: ['/stop_sequence', '/delta/stop_sequence'] },
      timer: { clock: { monotonic: () => (now += 30.4) }, startedAt: 1000 },
    })
    const signature: Opaque = { by: 'gemini.generate', value: 'QUJD' }
    const script: Told[] = [
      ...whole([
        (sink) => sink.reasoning(0, 'hm'),
        (sink) => sink.signature(0, { by: 'bedrock.converse', value: 'sig' }, ''),
        (sink) => sink.text(0, 'Hi'),
        (sink) => sink.citation(0, { url: 'https://x.test', title: 'X', quote: 'q' }),
        (sink) => sink.toolCall(0, 0, 'c', 'f', false),
        (sink) => sink.toolSignature(0, 0, signature),
        (sink) => sink.toolArguments(0, 0, '{"a":1}'),
        (sink) => sink.text(1, 'another choice'),
      ]).slice(0, -3),
      (sink) => sink.finish(0, 'stop_sequence', 'END'),
      (sink) => sink.usage(USED),
      (sink) => sink.end(),
    ]
    expect(bodyOf(converseClient, script, context)).toMatchSnapshot('whole')
    now = 1000
    expect(framesOf(bytesOf(script, true, context))).toMatchSnapshot('events')
  })

  it.each([
    ['stop', 'end_turn'],
    ['tool_calls', 'tool_use'],
    ['stop_sequence', 'stop_sequence'],
    ['length', 'max_tokens'],
    ['content_filter', 'content_filtered'],
    ['refusal', 'content_filtered'],
    ['pause', 'max_tokens'],
    ['error', 'malformed_model_output'],
  ] as [FinishReason, string][])('ends %s as %s', (reason, expected) => {
    const script = whole([(sink) => sink.text(0, 'x')], reason)
    expect(bodyOf(converseClient, script)['stopReason']).toBe(expected)
    const stop = framesOf(bytesOf(script, false)).find(({ name }) => name === 'messageStop')
    expect(stop?.data['stopReason']).toBe(expected)
  })

  it('says what was used so that it is read as the same again', () => {
    const body = bodyOf(converseClient, whole([]))
    expect(readUsage(body['usage'])).toEqual({ ...USED, reasoningTokens: 0 })
    expect(readAnswer(body)).toEqual({ ...USED, reasoningTokens: 0 })
  })

  it('passes the first of several calls on as it comes, and holds the others', () => {
    const encoder = converseClient.stream(contextOf())
    encoder.start('', '')
    encoder.take()
    const names = (): string[] => framesOf(Buffer.from(encoder.take())).map(({ name }) => name)
    encoder.toolCall(0, 0, 'a', 'f', false)
    encoder.toolArguments(0, 0, '{"x":')
    expect(names()).toEqual(['contentBlockStart', 'contentBlockDelta'])
    encoder.toolCall(0, 1, 'b', 'g', false)
    encoder.toolArguments(0, 1, '{}')
    expect(encoder.take()).toBe('')
    encoder.toolArguments(0, 0, '1}')
    expect(names()).toEqual(['contentBlockDelta'])
    encoder.toolCall(0, 2, 'c', 'h', false)
    expect(names()).toEqual(['contentBlockStop', 'contentBlockStart', 'contentBlockDelta', 'contentBlockStop'])
  })

  it('tells free text as one field', () => {
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'a', 'f', true),
      (sink) => sink.toolArguments(0, 0, 'say "hi"\n'),
    ])
    const expected = [{ toolUse: { toolUseId: 'a', name: 'f', input: { raw_arguments: 'say "hi"\n' } } }]
    expect(contentOf(bodyOf(converseClient, script))).toEqual(expected)
    expect(accumulate(framesOf(bytesOf(script, true)))).toEqual(expected)
  })
})

describe('an error of Converse', () => {
  it.each([
    [new GatewayError('upstream_rate_limited', 'Slow down.'), 'throttlingException'],
    [new GatewayError('overloaded', 'Too much.'), 'serviceUnavailableException'],
    [new GatewayError('internal', 'Oh.'), 'internalServerException'],
    [new GatewayError('content_filter', 'No.'), 'validationException'],
    [new GatewayError('stream_interrupted', 'Broke off.'), 'modelStreamErrorException'],
    [new GatewayError('upstream_timeout', 'Too slow.'), 'modelStreamErrorException'],
  ])('ends a stream: %s', (error, name) => {
    const encoder = converseClient.stream(contextOf())
    encoder.start('', '')
    encoder.text(0, 'x')
    const frames = framesOf(Buffer.from(encoder.error(error)))
    expect(frames.map((frame) => frame.name)).toEqual(['messageStart', 'contentBlockDelta', name])
    expect(frames[2]?.data['message']).toContain(error.message)
    const hearer = new Hearer()
    const decoder = wire.stream(hearer)
    expect(decoder.event(name, JSON.stringify(frames[2]?.data))).toBe('error')
  })

  it('is a message, with the field at fault', () => {
    const error = new GatewayError('invalid_request', 'It is wrong.', { param: 'messages[0]', verbatim: true })
    expect(JSON.parse(converseClient.error(error, 'r'))).toEqual({
      message: 'messages[0]: It is wrong.',
      request_id: 'r',
    })
  })
})
