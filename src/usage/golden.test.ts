import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Price } from '../contracts/config.ts'
import type { Usage } from '../contracts/usage.ts'
import { answerScanner, chatStream, judgeAnswer, responsesStream, usageOf } from '../protocol/openai/answer.ts'
import { NO_USAGE, readAnswer, StreamUsage, usageHints } from '../protocol/usage.ts'
import { chargeOf } from './charge.ts'

interface Shape {
  readonly name: string
  readonly source: string
  readonly provider: string
  /** How the gateway reads it today: by its scanner, or (`native`) by the reader of whole answers. */
  readonly dialect: 'chat' | 'responses' | 'embeddings' | 'native'
  readonly answer: unknown
  /** Data of the events, in order; null = the operation cannot stream. */
  readonly stream: readonly unknown[] | null
  /** Fields that are not the empty usage's. */
  readonly usage: Partial<Usage>
  readonly price: Price
  /** How nanoUsd was worked out by hand. */
  readonly working: string
  readonly nanoUsd: number
  readonly preferReported?: boolean
}

const FOLDER = new URL('../../test/fixtures/usage/', import.meta.url)
const SHAPES = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.json'))
  .map((file): [string, Shape] => [file, JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Shape])

/** As StreamAttempt does it: each event scanned, the last usage wins. */
function scannedStream(shape: Shape): Usage | null {
  const dialect = shape.dialect === 'responses' ? responsesStream : chatStream
  const hints = usageHints(shape.provider)
  let usage: Usage | null = null
  for (const event of shape.stream ?? []) {
    const bytes = Buffer.from(`data: ${JSON.stringify(event)}\n\n`)
    answerScanner.load(bytes)
    answerScanner.nextEvent(0, bytes.length)
    const verdict = dialect.judge(bytes, true)
    if (verdict !== 'note') usage = dialect.usage(bytes, hints) ?? usage
  }
  return usage
}

test('the corpus is there', () => {
  expect(SHAPES.length).toBeGreaterThanOrEqual(50)
  expect(new Set(SHAPES.map(([, shape]) => shape.name)).size).toBe(SHAPES.length)
})

describe.each(SHAPES)('%s', (_file, shape) => {
  const expected: Usage = { ...NO_USAGE, ...shape.usage }
  const hints = usageHints(shape.provider)
  const charge = (usage: Usage | null) =>
    chargeOf(shape.price, usage!, { preferReported: shape.preferReported === true }).nanoUsd

  test('a whole answer', () => {
    const usage = readAnswer(shape.answer, hints)
    expect(usage).toEqual(expected)
    expect(charge(usage)).toBe(shape.nanoUsd)
  })

  test('a stream', () => {
    if (shape.stream === null) return
    const stream = new StreamUsage(hints)
    for (const event of shape.stream) stream.feed(event)
    expect(stream.usage).toEqual(expected)
    expect(charge(stream.usage)).toBe(shape.nanoUsd)
  })

  test('as the gateway scans it', () => {
    const operation = shape.dialect
    if (operation === 'native') return
    const body = Buffer.from(JSON.stringify(shape.answer))
    expect(judgeAnswer(operation, body)).toBe('ok')
    expect(usageOf(body, hints)).toEqual(expected)
    if (shape.stream !== null) expect(scannedStream(shape)).toEqual(expected)
  })
})
