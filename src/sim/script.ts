/** Turns an answer and its faults into a list of steps: pure, so that each fault can be tested without a socket. */
import { gzipSync } from 'node:zlib'
import type { Answer, StreamAnswer, StreamEvent } from './answer.ts'
import type { FaultSet } from './faults.ts'
import { faultNumber } from './faults.ts'
import type { Framing } from './framing.ts'
import { CUT_TEXT, SSE } from './framing.ts'
import type { Json } from './json.ts'
import { isObject, parseJson } from './json.ts'

export type Step =
  | { readonly do: 'write'; readonly bytes: Buffer | string }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'stall' | 'reset' }

export interface Script {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  /** Without `stall` and `reset` the answer ends properly after the last step. */
  readonly steps: readonly Step[]
  /** Stream chunks are to be compressed one by one; a whole body is compressed already. */
  readonly gzipChunks: boolean
}

const STREAM_ERROR = {
  message: 'The server had an error while processing your request. Sorry about that!',
  type: 'server_error',
  param: null,
  code: 'server_error',
}

/** Connection headers that name another header, which is then hop-by-hop too (RFC 9110, 7.6.1). */
export const KEEP_AND_NAME = 'keep-alive, x-evil'
export const CLOSE_AND_NAME = 'close, x-evil'

/** Headers a gateway must not pass on, and those of faults that mislabel the body. */
const faultHeaders = (faults: FaultSet): Record<string, string | string[]> => ({
  ...(faults.has('wrong_content_type') ? { 'content-type': 'text/plain' } : {}),
  ...(faults.has('set_cookie')
    ? {
        'set-cookie': ['session=backend-secret; HttpOnly; Path=/', 'affinity=node-7'],
        server: 'sim-backend/1.0',
        connection: KEEP_AND_NAME,
        'x-evil': 'hop-by-hop',
        'x-api-key': 'sk-backend-secret',
      }
    : {}),
})

/** Cuts before every continuation byte, so that no multi-byte character arrives in one piece. */
export const splitInsideCharacters = (bytes: Buffer): Buffer[] => {
  const pieces: Buffer[] = []
  let start = 0
  for (let at = 1; at < bytes.length; at++) {
    if (((bytes[at] ?? 0) & 0xc0) !== 0x80) continue
    pieces.push(bytes.subarray(start, at))
    start = at
  }
  pieces.push(bytes.subarray(start))
  return pieces
}

const writeSteps = (bytes: Buffer | string, split: boolean): Step[] => {
  if (!split) return [{ do: 'write', bytes }]
  const pieces = splitInsideCharacters(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)
  return pieces.flatMap((piece, index): Step[] => [
    ...(index > 0 ? [{ do: 'wait', ms: 1 } as const] : []),
    { do: 'write', bytes: piece },
  ])
}

const bodyOf = (answer: Exclude<Answer, StreamAnswer>, faults: FaultSet): Buffer => {
  if (answer.kind === 'bytes') return answer.bytes
  let body = answer.body
  if (faults.has('no_choices') && isObject(body) && answer.payloadKey !== undefined) {
    body = Object.fromEntries(Object.entries(body).filter(([key]) => key !== answer.payloadKey))
  }
  const bytes = Buffer.from(JSON.stringify(body))
  return faults.has('truncated_json') ? bytes.subarray(0, bytes.length >> 1) : bytes
}

const SLOW_PARTS = 16

const bodySteps = (bytes: Buffer, faults: FaultSet): Step[] => {
  const half = bytes.subarray(0, bytes.length >> 1)
  if (faults.has('reset_after')) return [{ do: 'write', bytes: half }, { do: 'reset' }]
  if (faults.has('stall_after')) return [{ do: 'write', bytes: half }, { do: 'stall' }]
  const slow = faultNumber(faults, 'slow_body')
  if (slow !== undefined && bytes.length > 0) {
    const size = Math.ceil(bytes.length / SLOW_PARTS)
    const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    )
    return parts.flatMap((part, i): Step[] => [
      ...(i > 0 ? [{ do: 'wait', ms: slow } as const] : []),
      { do: 'write', bytes: part },
    ])
  }
  return bytes.length === 0 ? [] : writeSteps(bytes, faults.has('split_utf8'))
}

const bodyScript = (answer: Exclude<Answer, StreamAnswer>, faults: FaultSet): Script => {
  const plain = bodyOf(answer, faults)
  const encoded = answer.headers?.['content-encoding'] !== undefined
  const gzip = faults.has('gzip_body') && !encoded && plain.length > 0
  const bytes = gzip ? gzipSync(plain) : plain
  const first = faultNumber(faults, 'delay_first')
  const status = answer.status ?? 200
  return {
    status,
    headers: {
      'content-type': answer.kind === 'bytes' ? answer.contentType : 'application/json',
      ...(status === 204 || status === 304 ? {} : { 'content-length': String(bytes.length) }),
      ...(gzip ? { 'content-encoding': 'gzip' } : {}),
      ...answer.headers,
      ...faultHeaders(faults),
    },
    steps: [...(first === undefined ? [] : [{ do: 'wait', ms: first } as const]), ...bodySteps(bytes, faults)],
    gzipChunks: false,
  }
}

/** Index in `events` before which exactly `count` content events stand, or the place after the last of them. */
const placeAfter = (events: readonly StreamEvent[], count: number, endEvents: number): number => {
  let seen = 0
  let last = -1
  for (const [index, event] of events.entries()) {
    if (!event.content) continue
    if (seen === count) return index
    seen++
    last = index
  }
  return last < 0 ? Math.max(0, events.length - endEvents) : last + 1
}

type Item = StreamEvent | Buffer

interface Cut {
  readonly at: number
  readonly items: readonly Item[]
  readonly last: 'end' | 'stall' | 'reset'
}

const HALF_CHARACTER = Buffer.from([0xe2, 0x82])

interface Writing {
  readonly framing: Framing
  readonly eol: string
}

const tornEvent = (answer: StreamAnswer, { framing, eol }: Writing, at: number): Buffer => {
  const event = answer.contentEvent('€', at)
  if (framing.torn !== undefined) return framing.torn(event)
  const [before = '', after = ''] = framing
    .encode(event, eol, at === 0)
    .toString()
    .split('€')
  return Buffer.concat([Buffer.from(before), HALF_CHARACTER, Buffer.from(after)])
}

const cutsOf = (
  answer: StreamAnswer,
  { framing, eol }: Writing,
  events: readonly StreamEvent[],
  faults: FaultSet,
): Cut[] => {
  const place = (count: number): number => placeAfter(events, count, answer.endEvents)
  const cuts: Cut[] = []
  const add = (name: string, last: Cut['last'], items: (at: number) => readonly Item[]): void => {
    const count = name === 'early_error' ? (faults.has(name) ? 0 : undefined) : faultNumber(faults, name)
    if (count !== undefined) cuts.push({ at: place(count), items: items(place(count)), last })
  }
  add('early_error', 'end', (at) => [answer.errorEvent(STREAM_ERROR, at)])
  add('error_after', 'end', (at) => [answer.errorEvent(STREAM_ERROR, at)])
  add('truncated_event', 'end', (at) => {
    const part = framing.truncated(answer.contentEvent(CUT_TEXT, at), eol, at === 0)
    return [typeof part === 'string' ? Buffer.from(part) : part]
  })
  add('cut_stream_after', 'end', () => [])
  add('stall_after', 'stall', () => [])
  add('reset_after', 'reset', () => [])
  return cuts.toSorted((a, b) => a.at - b.at)
}

const LIFECYCLE = new Set(['response.created', 'response.in_progress', 'response.completed', 'response.incomplete'])

const withoutPayload = (event: StreamEvent): readonly StreamEvent[] => {
  if (event.data === '[DONE]') return [event]
  if (event.event !== undefined && !LIFECYCLE.has(event.event)) return []
  const chunk: Json = parseJson(event.data)
  if (!isObject(chunk)) return [event]
  const response = chunk['response']
  const bare = isObject(response) ? { ...chunk, response: { ...response, output: [] } } : { ...chunk, choices: [] }
  return [{ ...event, content: false, data: JSON.stringify(bare) }]
}

const ANNOTATIONS = JSON.stringify({
  id: '',
  object: '',
  created: 0,
  model: '',
  choices: [],
  prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: { filtered: false, severity: 'safe' } } }],
})

interface Items {
  readonly items: readonly Item[]
  readonly last: Cut['last']
  /** Nothing of the end is missing. */
  readonly complete: boolean
}

const itemsOf = (answer: StreamAnswer, writing: Writing, faults: FaultSet): Items => {
  const bare = answer.bare ?? withoutPayload
  let events = faults.has('no_choices') ? answer.events.flatMap((event) => bare(event)) : [...answer.events]
  const named = events.some((event) => event.event !== undefined)
  if (faults.has('annotations_first') && !named) events = [{ data: ANNOTATIONS, content: false }, ...events]
  const [cut] = cutsOf(answer, writing, events, faults)
  const torn = faultNumber(faults, 'torn_utf8')
  const huge = faultNumber(faults, 'huge_event')
  const inserts: { at: number; item: Item }[] = []
  const place = (count: number): number => placeAfter(events, count, answer.endEvents)
  if (huge !== undefined) inserts.push({ at: place(0), item: answer.contentEvent('x'.repeat(huge), place(0)) })
  if (torn !== undefined) inserts.push({ at: place(torn), item: tornEvent(answer, writing, place(torn)) })
  const end = cut?.at ?? (faults.has('no_done') ? events.length - answer.endEvents : events.length)
  const items: Item[] = []
  for (let index = 0; index <= end; index++) {
    for (const insert of inserts) if (insert.at === index) items.push(insert.item)
    const event = events[index]
    if (index < end && event !== undefined) items.push(event)
  }
  // An error that is told is an end, too.
  const told = cut === undefined ? !faults.has('no_done') : cut.items.some((item) => !Buffer.isBuffer(item))
  return { items: [...items, ...(cut?.items ?? [])], last: cut?.last ?? 'end', complete: told }
}

const streamScript = (answer: StreamAnswer, faults: FaultSet): Script => {
  const framing = answer.framing ?? SSE
  const eol = faults.has('crlf') ? '\r\n' : framing.eol
  const { items, last, complete } = itemsOf(answer, { framing, eol }, faults)
  const comment = faults.has('comments') ? framing.comment(eol) : null
  const first = faultNumber(faults, 'delay_first')
  const interval = faultNumber(faults, 'interval')
  const split = faults.has('split_utf8')
  const twice = faults.has('duplicate_frames')
  const steps: Step[] = first === undefined ? [] : [{ do: 'wait', ms: first }]
  let contents = 0
  for (const [index, item] of items.entries()) {
    if (Buffer.isBuffer(item)) {
      steps.push({ do: 'write', bytes: item })
      continue
    }
    if (comment !== null) steps.push({ do: 'write', bytes: comment })
    if (item.content && interval !== undefined && contents > 0) steps.push({ do: 'wait', ms: interval })
    if (item.content) contents++
    const bytes = framing.encode(item, eol, index === 0)
    steps.push(...writeSteps(bytes, split))
    if (twice && item.content) steps.push(...writeSteps(framing.encode(item, eol, false), split))
  }
  if (last !== 'end') steps.push({ do: last })
  else if (complete && framing.closing !== '') steps.push({ do: 'write', bytes: framing.closing })
  return {
    status: answer.status ?? 200,
    headers: {
      'content-type': framing.contentType,
      'cache-control': 'no-cache',
      ...(faults.has('gzip_body') ? { 'content-encoding': 'gzip' } : {}),
      ...answer.headers,
      ...faultHeaders(faults),
    },
    steps,
    gzipChunks: faults.has('gzip_body'),
  }
}

export const scriptFor = (answer: Answer, faults: FaultSet): Script =>
  answer.kind === 'stream' ? streamScript(answer, faults) : bodyScript(answer, faults)
