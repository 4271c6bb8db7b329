import type * as Grpc from '@grpc/grpc-js'
import type { Client, ClientOptions, Metadata, ServiceError } from '@grpc/grpc-js'
import { sleep } from '../../core/sleep.ts'
import { SvidFault } from './material.ts'

/** After a stream has broken, ms; doubles while nothing comes. */
const FIRST_MS = 100
const LAST_MS = 10_000

const OPTIONS: ClientOptions = {
  // A key never goes by way of a proxy that the environment names.
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': FIRST_MS,
  'grpc.max_reconnect_backoff_ms': LAST_MS,
  // Each source has a channel of its own, which ends with it.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
}

/** A call that goes on: what of grpc-js's streams is used here. */
export interface Following<T> {
  on(event: 'data', listener: (message: T) => void): unknown
  on(event: 'error', listener: (error: ServiceError) => void): unknown
  on(event: 'end', listener: () => void): unknown
  cancel(): void
}

export interface StreamParts<T> {
  /** `unix:PATH` or `IP:PORT`, without TLS: who can reach it is what decides. */
  readonly target: string
  readonly begin: (client: Client, metadata: Metadata) => Following<T>
  /** A message that could not be used changes nothing about the stream. */
  readonly message: (message: T, stream: Following<T>) => void
  readonly fault: (fault: SvidFault) => void
}

/** Follows a stream, and begins another one when it ends, until the returned function is called. */
export function follow<T>(grpc: typeof Grpc, parts: StreamParts<T>): () => void {
  const client = new grpc.Client(parts.target, grpc.credentials.createInsecure(), OPTIONS)
  let stopped = false
  let stream: Following<T> | null = null
  let waitMs = FIRST_MS

  const again = (why: string): void => {
    stream = null
    if (stopped) return
    parts.fault(new SvidFault('source', why))
    const pause = waitMs
    waitMs = Math.min(LAST_MS, waitMs * 2)
    void sleep(pause, false).then(begin)
  }
  const begin = (): void => {
    if (stopped) return
    const own = parts.begin(client, new grpc.Metadata())
    stream = own
    let over = false
    const end = (why: string): void => {
      if (over) return
      over = true
      again(why)
    }
    own.on('data', (message) => {
      waitMs = FIRST_MS
      if (!over && !stopped) parts.message(message, own)
    })
    own.on('error', (error) => end(`${grpc.status[error.code] ?? 'error'}: ${error.details.slice(0, 200)}`))
    own.on('end', () => end('the stream ended'))
  }
  begin()
  return () => {
    stopped = true
    stream?.cancel()
    client.close()
  }
}
