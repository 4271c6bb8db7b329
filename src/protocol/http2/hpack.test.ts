import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { Code, ConnectionFault } from './constants.ts'
import { HpackDecoder, type Decoded } from './hpack-decoder.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import { fieldOf } from './head.ts'
import { DynamicTable, type Field } from './hpack-table.ts'
import { huffmanCodes, huffmanText } from './huffman.ts'

const decode = (decoder: HpackDecoder, hex: string): Decoded => {
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  return decoder.decode(block, 0, block.length)
}

const faultOf = (step: () => unknown): number => {
  try {
    step()
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectionFault)
    return (error as ConnectionFault).code
  }
  return -1
}

/** RFC 7541, C.3 and C.4: three requests on one connection, plain and Huffman-coded, with the sizes of the table. */
const PLAIN = [
  '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
  '8286 84be 5808 6e6f 2d63 6163 6865',
  '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
]
const HUFFMAN = [
  '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
  '8286 84be 5886 a8eb 1064 9cbf',
  '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
]

describe('the examples of RFC 7541', () => {
  test.each([
    ['C.3', PLAIN],
    ['C.4', HUFFMAN],
  ])('%s', (_name, blocks) => {
    const decoder = new HpackDecoder(16_384)
    const authority = 'www.example.com'
    expect(decode(decoder, blocks[0]!).head).toMatchObject({ method: 'GET', path: '/', scheme: 'http', authority })
    expect(decoder.tableSize).toBe(57)
    expect(decode(decoder, blocks[1]!).head?.headers).toEqual(['cache-control', 'no-cache'])
    expect(decoder.tableSize).toBe(110)
    const third = decode(decoder, blocks[2]!).head
    expect(third).toMatchObject({ path: '/index.html', scheme: 'https', headers: ['custom-key', 'custom-value'] })
    expect(decoder.tableSize).toBe(164)
  })

  test('C.6.1: what a server answers is text to us all the same', () => {
    const block = Buffer.from('488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff', 'hex')
    const decoder = new HpackDecoder(16_384)
    expect(decoder.decode(block, 0, block.length).fault).not.toBe('')
    expect(decoder.tableSize).toBe(42 + 52 + 65)
  })
})

/** The same code, the other way. */
function pack(bytes: Uint8Array): Buffer {
  const { codes, bits } = huffmanCodes()
  let line = ''
  for (const byte of bytes) line += codes[byte]!.toString(2).padStart(bits[byte]!, '0')
  line = line.padEnd(Math.ceil(line.length / 8) * 8, '1')
  return Buffer.from(line.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? [])
}

describe('the Huffman code', () => {
  test('brings back every text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const packed = pack(bytes)
        expect(huffmanText(packed, 0, packed.length)).toBe(Buffer.from(bytes).toString('latin1'))
      }),
    )
  })

  test.each([
    ['padding of a whole byte', '1fff'],
    ['padding of zeros', '18'],
    ['the end that may not stand inside', 'ffffffff'],
  ])('%s is broken', (_name, hex) => {
    const bytes = Buffer.from(hex, 'hex')
    expect(faultOf(() => huffmanText(bytes, 0, bytes.length))).toBe(Code.COMPRESSION_ERROR)
  })
})

const name = fc
  .stringMatching(/^[a-z][a-z0-9-]{0,20}$/)
  .filter(
    (text) => !/^(te|connection|upgrade|keep-alive|content-length|transfer-encoding|proxy-connection)$/.test(text),
  )
const value = fc.string({ unit: 'grapheme-ascii', maxLength: 60 }).map((text) => text.trim())
const list = fc.array(fc.tuple(name, value), { maxLength: 20 }).map((pairs) => pairs.flat())
const PSEUDO = [':method', 'POST', ':scheme', 'http', ':path', '/a', ':authority', 'h']

test('what we write is what is read', () => {
  fc.assert(
    fc.property(list, (headers) => {
      const block = encodeHeaders([...PSEUDO, ...headers])
      const { head } = new HpackDecoder(1 << 20).decode(block, 0, block.length)
      expect(head).toEqual({ method: 'POST', scheme: 'http', path: '/a', authority: 'h', headers, contentLength: -1 })
    }),
  )
})

test('a head that comes again is the same, until the table has changed', () => {
  const decoder = new HpackDecoder(16_384)
  decode(decoder, PLAIN[0]!)
  const again = decode(decoder, '828684be')
  expect(decode(decoder, '828684be')).toBe(again)
  // Another authority takes the newest place: the same bytes now say something else.
  decode(decoder, '828684 41 01 78')
  const other = decode(decoder, '828684be')
  expect(other).not.toBe(again)
  expect(other.head?.authority).toBe('x')
})

test('the table keeps the newest that have room, to the byte (RFC 7541 4.3, 4.4)', () => {
  const step = fc.oneof(
    fc.record({ add: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ resize: fc.constantFrom(0, 33, 34, 64, 66, 100, 132, 400) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const table = new DynamicTable()
      let model: Field[] = []
      let capacity = 4096
      for (const what of steps) {
        if ('resize' in what) {
          capacity = what.resize
          table.resize(capacity)
        } else {
          const field = fieldOf('n'.repeat(what.add), '')
          table.add(field)
          model = [field, ...model]
        }
        let size = 0
        const end = model.findIndex((field) => (size += field.size) > capacity)
        if (end >= 0) model = model.slice(0, end)
        expect(Array.from({ length: table.count }, (_, i) => table.at(i))).toEqual(model)
        expect(table.size).toBe(model.reduce((sum, field) => sum + field.size, 0))
      }
    }),
    { numRuns: 500 },
  )
})

describe('blocks that are none', () => {
  test.each([
    ['index 0', '80'],
    ['an index beyond the tables', 'ff00'],
    ['a number without end', 'ffffffffffffffff7f'],
    ['a string beyond its block', '400a61'],
    ['a name beyond its block', '40'],
    ['a table larger than allowed', '3fe21f'],
    ['a size of the table behind a field', '8220'],
  ])('%s', (_name, hex) => {
    expect(faultOf(() => decode(new HpackDecoder(16_384), hex))).toBe(Code.COMPRESSION_ERROR)
  })

  test('whatever the bytes are: fields, or COMPRESSION_ERROR, and never a table beyond its size', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 10 }), (blocks) => {
        const decoder = new HpackDecoder(16_384)
        for (const block of blocks) {
          const code = faultOf(() => decoder.decode(Buffer.from(block), 0, block.length))
          expect([-1, Code.COMPRESSION_ERROR]).toContain(code)
          expect(decoder.tableSize).toBeLessThanOrEqual(4096)
          if (code >= 0) return
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('a bomb: a kilobyte that would be megabytes is too large, and the table stays right', () => {
    const decoder = new HpackDecoder(16_384)
    const entry = Buffer.concat([Buffer.from('40017a7f8119', 'hex'), Buffer.alloc(0x7f + 25 * 128 + 1, 'b')])
    const bomb = Buffer.concat([Buffer.from('828684', 'hex'), entry, Buffer.alloc(1000, 0xbe)])
    expect(decoder.decode(bomb, 0, bomb.length)).toMatchObject({ head: null, tooLarge: true })
    expect(decode(decoder, '828684be').head?.headers[0]).toBe('z')
  })
})

describe('heads that are malformed', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['upper case', [...PSEUDO, 'X-A', 'b']],
    ['connection', [...PSEUDO, 'connection', 'close']],
    ['transfer-encoding', [...PSEUDO, 'transfer-encoding', 'chunked']],
    ['te that is not trailers', [...PSEUDO, 'te', 'gzip']],
    ['a pseudo-header behind a regular one', [...PSEUDO.slice(0, 6), 'a', 'b', ':authority', 'h']],
    ['a pseudo-header twice', [...PSEUDO, ':path', '/b']],
    ['a pseudo-header of answers', [...PSEUDO, ':status', '200']],
    ['no method', PSEUDO.slice(2)],
    ['no path', [':method', 'GET', ':scheme', 'http']],
    ['an empty path', [':method', 'GET', ':scheme', 'http', ':path', '']],
    ['a line break', [...PSEUDO, 'a', 'b\r\nc: d']],
    ['a NUL', [...PSEUDO, 'a', 'b\0']],
    ['a space around it', [...PSEUDO, 'a', ' b']],
    ['a colon in a name', [...PSEUDO, 'a:b', 'c']],
    ['two lengths', [...PSEUDO, 'content-length', '1', 'content-length', '2']],
    ['a length that is none', [...PSEUDO, 'content-length', '+1']],
  ]
  test.each(cases)('%s', (_name, headers) => {
    const block = encodeHeaders(headers)
    const { head, fault } = new HpackDecoder(16_384).decode(block, 0, block.length)
    expect(head).toBeNull()
    expect(fault).not.toBe('')
  })

  test('trailers have no pseudo-headers', () => {
    const block = encodeHeaders([':path', '/', 'a', 'b'])
    expect(new HpackDecoder(16_384).decode(block, 0, block.length, true).head).toBeNull()
  })
})
