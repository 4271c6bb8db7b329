/** A name server on loopback (RFC 1035, RFC 2782) that answers what a test wants, UDP only. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'

const TYPES = { A: 1, AAAA: 28, SRV: 33 } as const

export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: string; readonly ttl: number }
  | {
      readonly type: 'SRV'
      readonly target: string
      readonly port: number
      readonly priority: number
      readonly weight: number
      readonly ttl: number
    }

/** What is answered in place of records. */
export type DnsFault = 'nxdomain' | 'servfail' | 'refused' | 'silent' | 'garbage'

const CODES = { nxdomain: 3, servfail: 2, refused: 5 } as const

const nameBytes = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split('.')
      .filter((label) => label !== '')
      .map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ])

const addressBytes = (address: string): Buffer => {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail = ''] = address.split('::')
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16)))
  const [before, after] = [groups(head), groups(tail)]
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]))
}

const dataOf = (record: DnsRecord): Buffer => {
  if (record.type !== 'SRV') return addressBytes(record.address)
  const fixed = Buffer.alloc(6)
  fixed.writeUInt16BE(record.priority, 0)
  fixed.writeUInt16BE(record.weight, 2)
  fixed.writeUInt16BE(record.port, 4)
  return Buffer.concat([fixed, nameBytes(record.target)])
}

const recordBytes = (name: string, record: DnsRecord): Buffer => {
  const data = dataOf(record)
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(TYPES[record.type], 0)
  fixed.writeUInt16BE(1, 2)
  fixed.writeUInt32BE(record.ttl, 4)
  fixed.writeUInt16BE(data.length, 8)
  return Buffer.concat([nameBytes(name), fixed, data])
}

export class TestDns {
  readonly #socket: Socket
  readonly #names = new Map<string, readonly DnsRecord[]>()
  /** By name, or `name TYPE`. */
  readonly faults = new Map<string, DnsFault>()
  /** `name TYPE` of each question. */
  readonly asked: string[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (message, from) => this.#answer(message, from))
  }

  static async start(): Promise<TestDns> {
    const socket = createSocket('udp4')
    await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve))
    return new TestDns(socket)
  }

  get server(): string {
    return `127.0.0.1:${this.#socket.address().port}`
  }

  /** A name that is not set does not exist. */
  set(name: string, ...records: readonly DnsRecord[]): void {
    this.#names.set(name, records)
  }

  forget(name: string): void {
    this.#names.delete(name)
  }

  stop(): void {
    this.#socket.close()
  }

  #answer(message: Buffer, from: RemoteInfo): void {
    const labels: string[] = []
    let at = 12
    for (let length = message[at]!; length > 0; length = message[at]!) {
      labels.push(message.toString('latin1', at + 1, at + 1 + length))
      at += length + 1
    }
    const name = labels.join('.').toLowerCase()
    const code = message.readUInt16BE(at + 1)
    const type = Object.entries(TYPES).find(([, number]) => number === code)?.[0] ?? '?'
    this.asked.push(`${name} ${type}`)
    const known = this.#names.get(name)
    const fault =
      this.faults.get(`${name} ${type}`) ?? this.faults.get(name) ?? (known === undefined ? 'nxdomain' : null)
    if (fault === 'silent') return
    const records = fault === null ? known!.filter((record) => record.type === type) : []
    const head = Buffer.alloc(12)
    message.copy(head, 0, 0, 2)
    head.writeUInt16BE(0x8580 | (fault === null || fault === 'garbage' ? 0 : CODES[fault]), 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(fault === 'garbage' ? 7 : records.length, 6)
    const parts = [head, message.subarray(12, at + 5), ...records.map((record) => recordBytes(name, record))]
    this.#socket.send(Buffer.concat(parts), from.port, from.address)
  }
}
