/** away: the store cannot be asked now. size: larger than it takes, or too many. broken: what was kept cannot be read. */
export type BlobFault = 'away' | 'size' | 'broken'

/** What a store of blobs cannot do. The message is for the log: it holds no content. */
export class BlobRefused extends Error {
  readonly fault: BlobFault

  constructor(fault: BlobFault, reason: string) {
    super(reason)
    this.name = 'BlobRefused'
    this.fault = fault
  }
}
