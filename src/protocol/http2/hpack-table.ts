/** A header field with what checks have found out about its name and value, so that a repeated one is not looked at again. */
export class Field {
  readonly name: string
  readonly value: string
  /** As the tables count it: RFC 7541 4.1. */
  readonly size: number
  /** By `fieldKind`. */
  readonly kind: number

  constructor(name: string, value: string, kind: number) {
    this.name = name
    this.value = value
    this.size = name.length + value.length + ENTRY_OVERHEAD
    this.kind = kind
  }
}

export const ENTRY_OVERHEAD = 32
export const DEFAULT_TABLE_SIZE = 4096

/** RFC 7541, Appendix A. */
const STATIC =
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|' +
  ':status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|' +
  'accept-encoding=gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|' +
  'allow|authorization|cache-control|content-disposition|content-encoding|content-language|' +
  'content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|' +
  'if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|' +
  'max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|' +
  'set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'

/** [name, value], the first has the index 1. */
export const STATIC_TABLE: readonly (readonly [string, string])[] = STATIC.split('|').map((text) => {
  const mark = text.indexOf('=')
  return mark < 0 ? [text, ''] : [text.slice(0, mark), text.slice(mark + 1)]
})

export const STATIC_COUNT = STATIC_TABLE.length

/** The dynamic table of a decoder (RFC 7541 2.3.2), newest first, in a ring. */
export class DynamicTable {
  #ring: (Field | null)[] = Array.from({ length: 64 }, () => null)
  #newest = 0
  #count = 0
  #size = 0
  #capacity = DEFAULT_TABLE_SIZE

  get count(): number {
    return this.#count
  }

  get size(): number {
    return this.#size
  }

  /** index: 0 is the newest; undefined = there is none. */
  at(index: number): Field | undefined {
    if (index >= this.#count) return undefined
    const ring = this.#ring
    return ring[(this.#newest - index) & (ring.length - 1)]!
  }

  add(field: Field): void {
    this.#evict(this.#capacity - field.size)
    // One that is larger than the table empties it, and is no error (4.4).
    if (field.size > this.#capacity) return
    if (this.#count === this.#ring.length) this.#grow()
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1)
    this.#ring[this.#newest] = field
    this.#count++
    this.#size += field.size
  }

  /** bytes: at most what the settings allow, which is for the caller to see to. */
  resize(bytes: number): void {
    this.#capacity = bytes
    this.#evict(bytes)
  }

  #evict(room: number): void {
    const ring = this.#ring
    while (this.#size > room && this.#count > 0) {
      const oldest = (this.#newest - this.#count + 1) & (ring.length - 1)
      this.#size -= ring[oldest]!.size
      ring[oldest] = null
      this.#count--
    }
  }

  #grow(): void {
    const fields: (Field | null)[] = []
    for (let i = this.#count - 1; i >= 0; i--) fields.push(this.at(i)!)
    const { length } = fields
    while (fields.length < length * 2) fields.push(null)
    this.#ring = fields
    this.#newest = length - 1
  }
}
