import { Code, ConnectionFault } from './constants.ts'

/**
 * Length in bits of the code of each byte, 'a' = 5 (RFC 7541, Appendix B). The code is canonical: codes of one length
 * follow each other in the order of their symbols, and with the lengths all of it is said. EOS is thirty ones.
 */
const LENGTHS =
  'isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhf' +
  'ibccccccccccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjix' +
  'prpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrs' +
  'vvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwv'

const EOS = 256
const MAX_BITS = 30

/** Codes of all bytes, and of EOS. */
export function huffmanCodes(): { readonly codes: Uint32Array; readonly bits: Uint8Array } {
  const bits = new Uint8Array(EOS + 1)
  for (let symbol = 0; symbol < EOS; symbol++) bits[symbol] = LENGTHS.charCodeAt(symbol) - 92
  bits[EOS] = MAX_BITS
  const codes = new Uint32Array(EOS + 1)
  let next = 0
  for (let length = 1; length <= MAX_BITS; length++) {
    for (let symbol = 0; symbol <= EOS; symbol++) if (bits[symbol] === length) codes[symbol] = next++
    next *= 2
  }
  return { codes, bits }
}

/**
 * A machine that eats four bits at a time. Each state is a node of the code's tree; an entry holds the next state (bits
 * 0..8), whether it may be the end (bit 9), that the code is broken (bit 10), and the byte that came out (bits 16..23, bit 24).
 */
const MAY_END = 1 << 9
const BROKEN = 1 << 10
const EMITS = 1 << 24

function buildTree(): Int32Array {
  const { codes, bits } = huffmanCodes()
  // Two children a node: >0 = node, <0 = ~symbol, 0 = none.
  const children = new Int32Array(2 * EOS)
  let nodes = 1
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0
    for (let bit = bits[symbol]! - 1; bit >= 0; bit--) {
      const at = node * 2 + ((codes[symbol]! >>> bit) & 1)
      if (bit === 0) children[at] = ~symbol
      else {
        if (children[at] === 0) children[at] = nodes++
        node = children[at]!
      }
    }
  }
  return children
}

function buildMachine(): Int32Array {
  const children = buildTree()
  // Padding is the beginning of EOS, shorter than a byte: the nodes on the path of ones (RFC 7541 5.2).
  const ends = new Uint8Array(EOS)
  for (let node = 0, depth = 0; depth < 8; depth++, node = children[node * 2 + 1]!) ends[node] = 1
  const machine = new Int32Array(EOS * 16)
  for (let start = 0; start < EOS; start++)
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = start
      let entry = 0
      for (let bit = 3; bit >= 0 && entry !== BROKEN; bit--) {
        const child = children[node * 2 + ((nibble >>> bit) & 1)]!
        if (child >= 0) node = child
        else if (~child === EOS) entry = BROKEN
        else {
          entry = EMITS | (~child << 16)
          node = 0
        }
      }
      machine[start * 16 + nibble] = entry === BROKEN ? BROKEN : entry | node | (ends[node] === 1 ? MAY_END : 0)
    }
  return machine
}

const MACHINE = buildMachine()
/** The shortest code has five bits. */
const EXPANDS = 8 / 5
let scratch = Buffer.allocUnsafeSlow(1024)

/** Text of a Huffman-coded string, one character a byte. Throws ConnectionFault (COMPRESSION_ERROR). */
export function huffmanText(bytes: Buffer, from: number, to: number): string {
  const most = Math.ceil((to - from) * EXPANDS)
  if (most > scratch.length) scratch = Buffer.allocUnsafeSlow(most * 2)
  const out = scratch
  let length = 0
  let entry = MAY_END
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    entry = MACHINE[(entry & 0x1ff) * 16 + (byte >>> 4)]!
    if (entry & EMITS) out[length++] = (entry >>> 16) & 0xff
    if (entry & BROKEN) break
    entry = MACHINE[(entry & 0x1ff) * 16 + (byte & 15)]!
    if (entry & EMITS) out[length++] = (entry >>> 16) & 0xff
    if (entry & BROKEN) break
  }
  if ((entry & MAY_END) === 0) throw new ConnectionFault(Code.COMPRESSION_ERROR, 'broken Huffman code')
  return out.toString('latin1', 0, length)
}
