import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

/** One request of a trace, and what the backend would answer. */
export interface TraceRow {
  /** All that must be the same to be compared: what was said before, as one text. */
  readonly partition: string
  readonly question: string
  /** Requests with equal answers may share one. */
  readonly answer: string
  /** What the call costs, US dollars; 0 = not told. */
  readonly usd: number
  /** Which trace of the file it belongs to; '' = there is one. */
  readonly trace: string
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `{"prompt" or "messages", "cls" or "answer", "usd"?, "trace"?}`. Throws Error that names the line where it is something else. */
export function rowOf(line: string, number: number): TraceRow {
  let fields: unknown
  try {
    fields = JSON.parse(line)
  } catch {
    throw new Error(`line ${number}: not JSON`)
  }
  if (!isFields(fields)) throw new Error(`line ${number}: not an object`)
  const answer = fields['cls'] ?? fields['answer']
  if (typeof answer !== 'string' && typeof answer !== 'number') throw new Error(`line ${number}: no "cls" or "answer"`)
  const usd = typeof fields['usd'] === 'number' && fields['usd'] >= 0 ? fields['usd'] : 0
  const trace = typeof fields['trace'] === 'string' ? fields['trace'] : ''
  const kind = fields['cls'] === undefined ? normalised(String(answer)) : String(answer)
  return { ...asked(fields, number), answer: kind, usd, trace }
}

function asked(fields: Fields, number: number): { readonly partition: string; readonly question: string } {
  if (typeof fields['prompt'] === 'string') return { partition: '', question: fields['prompt'] }
  const messages = fields['messages']
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined
  if (!isFields(last) || typeof last['content'] !== 'string' || last['role'] !== 'user')
    throw new Error(`line ${number}: no "prompt", and no "messages" that end with a text of the user`)
  return { partition: JSON.stringify((messages as unknown[]).slice(0, -1)), question: last['content'] }
}

const normalised = (answer: string): string => answer.normalize('NFKC').toLowerCase().replaceAll(/\s+/gu, ' ').trim()

/** JSON lines; empty ones are skipped. Throws as rowOf does, or where the file cannot be read. */
export async function readTrace(path: string): Promise<TraceRow[]> {
  const rows: TraceRow[] = []
  let number = 0
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    number++
    if (line.trim() !== '') rows.push(rowOf(line, number))
  }
  return rows
}
