/** A client of the policy port that says exactly what a test says. */
import { credentials, makeGenericClientConstructor, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js'
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf'
import {
  ProcessingRequestSchema,
  ProcessingResponseSchema,
  type ProcessingResponse,
} from '../../src/protocol/grpc/gen/ext_proc_pb.ts'

const EXT_PROC = '/envoy.service.ext_proc.v3.ExternalProcessor/Process'

export type RequestInit = MessageInitShape<typeof ProcessingRequestSchema>

const RawClient = makeGenericClientConstructor({}, 'raw')
const same = (bytes: Buffer): Buffer => bytes

export interface PolicyClient {
  /** One call with bytes as they are. */
  unary(path: string, bytes: Buffer): Promise<{ readonly bytes: Buffer | null; readonly error: ServiceError | null }>
  process(): ProcStreamClient
  close(): void
}

export class ProcStreamClient {
  readonly call: ClientDuplexStream<Buffer, Buffer>
  readonly #received: ProcessingResponse[] = []
  readonly #waiting: (() => void)[] = []
  error: ServiceError | null = null
  ended = false

  constructor(call: ClientDuplexStream<Buffer, Buffer>) {
    this.call = call
    call.on('data', (bytes: Buffer) => {
      this.#received.push(fromBinary(ProcessingResponseSchema, bytes))
      this.#wake()
    })
    call.on('error', (error: ServiceError) => {
      this.error = error
      this.#wake()
    })
    call.on('end', () => {
      this.ended = true
      this.#wake()
    })
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  send(message: RequestInit): boolean {
    return this.call.write(Buffer.from(toBinary(ProcessingRequestSchema, create(ProcessingRequestSchema, message))))
  }

  sendBytes(bytes: Buffer): void {
    this.call.write(bytes)
  }

  /** The next message; null = there is none any more. */
  async next(): Promise<ProcessingResponse | null> {
    while (this.#received.length === 0) {
      if (this.ended || this.error !== null) return null
      await new Promise<void>((resolve) => void this.#waiting.push(resolve))
    }
    return this.#received.shift()!
  }

  /** Resolves when the stream has ended, however it did. */
  async over(): Promise<void> {
    while ((await this.next()) !== null);
  }
}

export function policyClient(address: string): PolicyClient {
  const client = new RawClient(address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    // A connection each: clients of one address would share theirs.
    'grpc.use_local_subchannel_pool': 1,
  })
  return {
    unary: (path, bytes) =>
      new Promise((resolve) => {
        client.makeUnaryRequest(path, same, same, bytes, (error, answer) => resolve({ bytes: answer ?? null, error }))
      }),
    process: () => new ProcStreamClient(client.makeBidiStreamRequest(EXT_PROC, same, same)),
    close: () => client.close(),
  }
}

export const headersOf = (
  headers: Readonly<Record<string, string>>,
): { headers: { key: string; rawValue: Buffer }[] } => ({
  headers: Object.entries(headers).map(([key, value]) => ({ key, rawValue: Buffer.from(value, 'latin1') })),
})

const DUPLEX = { requestBodyMode: 4, responseBodyMode: 4 } as const

/** The head of `POST /v1/chat/completions`. */
export const chatHead = (headers: Readonly<Record<string, string>> = {}, endOfStream = false): RequestInit => ({
  protocolConfig: DUPLEX,
  request: {
    case: 'requestHeaders',
    value: {
      headers: headersOf({
        ':method': 'POST',
        ':path': '/v1/chat/completions',
        ':authority': 'llm.example',
        'content-type': 'application/json',
        ...headers,
      }),
      endOfStream,
    },
  },
})

export const bodyPart = (body: string | Buffer, endOfStream = true): RequestInit => ({
  request: { case: 'requestBody', value: { body: Buffer.from(body), endOfStream } },
})

export const answerHead = (status = 200, headers: Readonly<Record<string, string>> = {}): RequestInit => ({
  request: {
    case: 'responseHeaders',
    value: { headers: headersOf({ ':status': String(status), ...headers }), endOfStream: false },
  },
})

export const answerPart = (body: string | Buffer, endOfStream = true): RequestInit => ({
  request: { case: 'responseBody', value: { body: Buffer.from(body), endOfStream } },
})
