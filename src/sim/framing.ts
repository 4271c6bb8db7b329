/** How the events of a stream are written: the part of a wire that faults on bytes must know. */
import type { StreamEvent } from './answer.ts'

export interface Framing {
  readonly contentType: string
  /** Unless the fault `crlf` says otherwise. */
  readonly eol: '\n' | '\r\n'
  /** Its lines can be ended otherwise. */
  readonly lines: boolean
  /** What may stand between events and means nothing; null: nothing may. */
  comment(eol: string): string | null
  encode(event: StreamEvent, eol: string, first: boolean): string | Buffer
  /** Of an event whose data holds a euro sign: the same with half of that character. Absent: by the text of `encode`. */
  torn?(event: StreamEvent): Buffer
  /** An event of which a part is missing. */
  truncated(event: StreamEvent, eol: string, first: boolean): string | Buffer
  /** After the last event of a stream that is complete. */
  readonly closing: string
}

/** Where the text that `truncated_event` sends is cut. */
const CUT_AT = 'off here'

const cut = (event: StreamEvent): StreamEvent => ({ ...event, data: event.data.slice(0, event.data.indexOf(CUT_AT)) })

/** What `truncated_event` sends a part of. */
export const CUT_TEXT = `cut ${CUT_AT}`

const sse = (eol: '\n' | '\r\n', contentType: string, field = 'data: '): Framing => {
  const encode: Framing['encode'] = (event, end) =>
    `${event.event === undefined ? '' : `event: ${event.event}${end}`}${field}${event.data}${end}${end}`
  return {
    contentType,
    eol,
    lines: true,
    comment: (end) => `: keep-alive${end}${end}`,
    encode,
    truncated: (event, end, first) => encode(cut(event), end, first),
    closing: '',
  }
}

export const SSE: Framing = sse('\n', 'text/event-stream; charset=utf-8')

/** Google ends lines with CRLF. */
export const SSE_CRLF: Framing = sse('\r\n', 'text/event-stream')

/** Some leave out the space that the standard makes optional. */
export const SSE_TIGHT: Framing = sse('\n', 'text/event-stream', 'data:')

export const NDJSON: Framing = {
  contentType: 'application/x-ndjson',
  eol: '\n',
  lines: true,
  comment: () => null,
  encode: (event, eol) => event.data + eol,
  truncated: (event, eol) => cut(event).data + eol,
  closing: '',
}

/** One JSON array whose members come one after the other, as Google streams without `alt=sse`. */
export const JSON_ARRAY: Framing = {
  contentType: 'application/json; charset=UTF-8',
  eol: '\r\n',
  lines: true,
  comment: () => null,
  encode: (event, eol, first) => `${first ? '[' : `,${eol}`}${event.data}`,
  truncated: (event, eol, first) => `${first ? '[' : `,${eol}`}${cut(event).data}`,
  closing: ']',
}
