/**
 * One SSE event whose data stands on several lines, as one with a single data line (WHATWG HTML 9.2.6 joins them with
 * a line feed; JSON may hold one between its tokens only, where a space means the same).
 */
export function joinDataLines(event: Buffer): Buffer {
  const others: string[] = []
  const data: string[] = []
  for (const line of event.toString().split(/\r\n|\n|\r/)) {
    if (line === 'data' || line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5))
    else if (line !== '') others.push(line)
  }
  others.push(`data: ${data.join(' ')}`)
  return Buffer.from(`${others.join('\n')}\n\n`)
}
