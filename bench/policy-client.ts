/** What a proxy says to the policy port, in bytes made once: the load costs as little as gRPC allows. */
import { credentials, makeGenericClientConstructor, type Client } from '@grpc/grpc-js'
import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf'
import { CheckRequestSchema, CheckResponseSchema } from '../src/protocol/grpc/gen/authz_pb.ts'
import {
  BodySendMode,
  ProcessingRequestSchema,
  ProcessingResponseSchema,
} from '../src/protocol/grpc/gen/ext_proc_pb.ts'
import { RateLimitRequestSchema } from '../src/protocol/grpc/gen/ratelimit_pb.ts'

const same = (bytes: Buffer): Buffer => bytes
const RawClient = makeGenericClientConstructor({}, 'raw')

const bytesOf = <T extends DescMessage>(schema: T, value: MessageInitShape<T>): Buffer =>
  Buffer.from(toBinary(schema, create(schema, value)))

const CHECK = '/envoy.service.auth.v3.Authorization/Check'
const LIMIT = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'
const PROCESS = '/envoy.service.ext_proc.v3.ExternalProcessor/Process'
const HEALTH = '/grpc.health.v1.Health/Check'

export class ProxySide {
  readonly #client: Client
  readonly #check: Buffer
  readonly #head: Buffer
  readonly #body: Buffer
  readonly #answerHead: Buffer
  readonly #answerBody: Buffer

  constructor(port: number, key: string, body: string, answer: string) {
    this.#client = new RawClient(`127.0.0.1:${port}`, credentials.createInsecure())
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      'content-length': String(body.length),
      'user-agent': 'openai/7.0',
      accept: 'application/json',
      'x-request-id': '1f6a8b54-3c8e-4d0f-9e6c-0d8c1a2b3c4d',
      'x-forwarded-proto': 'https',
    }
    const path = '/v1/chat/completions'
    const rawBody = Buffer.from(body)
    this.#check = bytesOf(CheckRequestSchema, {
      attributes: { request: { http: { method: 'POST', path, host: 'llm.example', headers, rawBody } } },
    })
    const listed = Object.entries({ ':method': 'POST', ':path': path, ':authority': 'llm.example', ...headers })
    const map = (list: readonly (readonly [string, string])[]) => ({
      headers: list.map(([name, value]) => ({ key: name, rawValue: Buffer.from(value) })),
    })
    const duplex = {
      requestBodyMode: BodySendMode.FULL_DUPLEX_STREAMED,
      responseBodyMode: BodySendMode.FULL_DUPLEX_STREAMED,
    }
    this.#head = bytesOf(ProcessingRequestSchema, {
      protocolConfig: duplex,
      request: { case: 'requestHeaders', value: { headers: map(listed) } },
    })
    this.#body = bytesOf(ProcessingRequestSchema, {
      request: { case: 'requestBody', value: { body: rawBody, endOfStream: true } },
    })
    this.#answerHead = bytesOf(ProcessingRequestSchema, {
      request: {
        case: 'responseHeaders',
        value: {
          headers: map([
            [':status', '200'],
            ['content-type', 'application/json'],
          ]),
        },
      },
    })
    this.#answerBody = bytesOf(ProcessingRequestSchema, {
      request: { case: 'responseBody', value: { body: Buffer.from(answer), endOfStream: true } },
    })
  }

  #unary(path: string, bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, same, same, bytes, (error, answer) =>
        error === null ? resolve(answer!) : reject(error),
      )
    })
  }

  /** The least that a call costs: a service that says that it is there. */
  async health(): Promise<void> {
    await this.#unary(HEALTH, Buffer.alloc(0))
  }

  /** A check with the five bytes before it. */
  get checkMessage(): Buffer {
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(this.#check.length, 1)
    return Buffer.concat([prefix, this.#check])
  }

  /** Returns the ticket; '' = none. */
  async check(): Promise<string> {
    const answer = await this.#unary(CHECK, this.#check)
    const { status, dynamicMetadata } = fromBinary(CheckResponseSchema, answer)
    if (status?.code !== 0) throw new Error('the check was refused')
    const { ticket } = dynamicMetadata ?? {}
    return typeof ticket === 'string' ? ticket : ''
  }

  /** The same, its answer not looked at. */
  async checkOnly(): Promise<void> {
    await this.#unary(CHECK, this.#check)
  }

  async settle(ticket: string): Promise<void> {
    const entries = [
      { key: 'heddle-phase', value: 'done' },
      { key: 'heddle-ticket', value: ticket },
      { key: 'heddle-usage', value: '50,100' },
    ]
    await this.#unary(LIMIT, bytesOf(RateLimitRequestSchema, { domain: 'heddle', descriptors: [{ entries }] }))
  }

  /** One request with its answer, in the order in which a proxy has them. */
  process(): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeBidiStreamRequest(PROCESS, same, same)
      let messages = 0
      call.on('data', (bytes: Buffer) => {
        messages++
        if (messages === 2) {
          call.write(this.#answerHead)
          call.write(this.#answerBody)
        } else if (messages === 1 && fromBinary(ProcessingResponseSchema, bytes).response.case !== 'requestHeaders')
          reject(new Error('the request was refused'))
      })
      call.on('error', reject)
      call.on('end', () => (messages === 4 ? resolve() : reject(new Error(`${messages} messages`))))
      call.write(this.#head)
      call.write(this.#body)
    })
  }

  close(): void {
    this.#client.close()
  }
}
