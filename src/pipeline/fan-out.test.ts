// One answer to many clients: whenever each of them comes, reads, stops reading or leaves, none gets anything but the answer.
import { expect, test } from 'vitest'
import fc from 'fast-check'
import type { HeaderList, ReplyWriter } from '../contracts/http.ts'
import { FanOut } from './fan-out.ts'

/** A client that says by hand whether it reads. */
class Client implements ReplyWriter {
  open = true
  reads = true
  text = ''
  heads: (readonly [number, HeaderList])[] = []
  ended = false
  broken = false

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    this.head(status, headers)
    this.end(body)
  }
  head(status: number, headers: HeaderList): void {
    this.heads.push([status, headers])
  }
  flush(): void {}
  write(chunk: Buffer | string): boolean {
    if (this.ended || this.heads.length !== 1) throw new Error('written to without one head before, or after the end')
    this.text += String(chunk)
    return this.reads
  }
  end(chunk?: Buffer | string): void {
    if (this.ended) throw new Error('ended twice')
    if (chunk !== undefined) this.text += String(chunk)
    this.ended = true
    this.open = false
  }
  destroy(): void {
    this.broken = true
    this.open = false
  }
}

const BIG = 1 << 20

test('who comes late gets all from the beginning', () => {
  const out = new FanOut(BIG)
  const [first, late] = [new Client(), new Client()]
  out.add(first)
  out.head(200, ['a', 'b'])
  out.write('one ')
  out.add(late, (headers) => [...headers, 'mine', '1'])
  expect(late.text).toBe('one ')
  out.end('two')
  expect([first.text, late.text, first.ended, late.ended]).toEqual(['one two', 'one two', true, true])
  expect([first.heads, late.heads]).toEqual([[[200, ['a', 'b']]], [[200, ['a', 'b', 'mine', '1']]]])
  expect(Buffer.concat(out.whole!.chunks).toString()).toBe('one two')
  expect(out.canJoin).toBe(false)
})

test('the backend is held up only while nobody reads', () => {
  const out = new FanOut(BIG)
  const [slow, quick] = [new Client(), new Client()]
  out.add(slow)
  out.head(200, [])
  slow.reads = false
  expect(out.write('a')).toBe(false)
  out.add(quick)
  expect(out.write('b')).toBe(true)
  expect([slow.text, quick.text]).toEqual(['a', 'ab'])
  slow.reads = true
  expect(out.drained(slow)).toBe(true)
  expect(slow.text).toBe('ab')
})

test('one that is far behind the others is dropped, never all of them', () => {
  const out = new FanOut(0)
  const [slow, quick] = [new Client(), new Client()]
  out.add(slow)
  out.add(quick)
  out.head(200, [])
  slow.reads = false
  const chunk = Buffer.alloc(BIG, 'x')
  for (let i = 0; i < 4; i++) out.write(chunk)
  expect(slow.broken).toBe(false)
  for (let i = 0; i < 3; i++) out.write(chunk)
  expect([slow.broken, quick.broken]).toEqual([true, false])
  quick.reads = false
  for (let i = 0; i < 8; i++) expect(out.write(chunk)).toBe(false)
  expect(quick.broken).toBe(false)
})

test('an answer that is longer than what is kept cannot be joined, nor taken whole', () => {
  const out = new FanOut(3)
  const client = new Client()
  out.add(client)
  out.head(200, [])
  out.write('abc')
  expect(out.canJoin).toBe(true)
  out.write('d')
  expect(out.canJoin).toBe(false)
  out.end()
  expect([client.text, out.whole]).toEqual(['abcd', null])
})

test('who takes nothing between two looks is dropped, who takes a little is not', () => {
  const out = new FanOut(BIG)
  const [stuck, slow] = [new Client(), new Client()]
  for (const client of [stuck, slow]) out.add(client)
  out.head(200, [])
  for (const client of [stuck, slow]) client.reads = false
  for (const text of ['a', 'b', 'c']) out.write(text)
  out.end()
  expect(out.dropStalled()).toBe(true)
  out.drained(slow)
  expect(out.dropStalled()).toBe(true)
  expect([stuck.broken, slow.broken, slow.text]).toEqual([true, false, 'ab'])
  slow.reads = true
  out.drained(slow)
  expect([slow.text, slow.ended, out.dropStalled()]).toEqual(['abc', true, false])
})

test('an answer in one piece goes to all, each in its own list of headers', () => {
  const out = new FanOut(BIG)
  const clients = [new Client(), new Client()]
  for (const client of clients) out.add(client)
  out.send(200, ['x', 'y'], 'body')
  expect(clients.map(({ text }) => text)).toEqual(['body', 'body'])
  expect(clients[0]!.heads[0]![1]).not.toBe(clients[1]!.heads[0]![1])
  expect(out.whole!.bytes).toBe(4)
})

test('whatever the order of events, a client has a beginning of the answer, and at its end all of it or a broken connection', () => {
  const event = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), size: fc.nat(40) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom('stop' as const, 'read' as const, 'leave' as const),
        who: fc.nat(9),
      }),
    },
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.nat(300), fc.boolean(), (events, keep, clean) => {
      const out = new FanOut(keep)
      const clients: Client[] = []
      const left = new Set<Client>()
      let answer = ''
      const join = (): void => {
        const client = new Client()
        clients.push(client)
        out.add(client)
      }
      join()
      out.head(200, [])
      for (const e of events) {
        if (e.kind === 'write') {
          const text = String.fromCharCode(97 + (answer.length % 26)).repeat(e.size)
          answer += text
          out.write(text)
        } else if (e.kind === 'join') {
          if (out.canJoin) join()
        } else {
          const client = clients[e.who % clients.length]!
          if (e.kind === 'stop') client.reads = false
          else if (e.kind === 'leave') {
            left.add(client)
            out.drop(client)
          } else {
            client.reads = true
            out.drained(client)
          }
        }
        for (const client of clients) expect(answer.startsWith(client.text)).toBe(true)
      }
      if (clean) out.end()
      else out.destroy()
      for (const client of clients) {
        client.reads = true
        if (!left.has(client)) out.drained(client)
        if (left.has(client)) expect(client.ended).toBe(false)
        else if (clean) expect([client.text, client.ended]).toEqual([answer, true])
        else expect([client.broken, client.ended]).toEqual([true, false])
      }
    }),
    { numRuns: 500 },
  )
})
