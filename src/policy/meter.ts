import { create, type JsonObject } from '@bufbuild/protobuf'
import type { HeaderList } from '../contracts/http.ts'
import { BodySendMode, ProcessingResponseSchema, type HttpBody } from '../protocol/grpc/gen/ext_proc_pb.ts'
import { NO_USAGE, usageHints } from '../protocol/usage.ts'
import { RawUsage } from '../protocol/raw-usage.ts'
import type { ProcStream } from './ext-proc-reply.ts'
import { findHeader } from './headers.ts'

const NAMESPACE = 'heddle'

/**
 * An answer whose request passed Heddle by: that of a filter before it, or of a proxy that only wants tokens counted. It
 * goes on as it is; its last message tells what it used.
 */
export class Meter {
  readonly #stream: ProcStream
  readonly #mode: BodySendMode
  readonly #good: boolean
  readonly #usage: RawUsage | null

  constructor(stream: ProcStream, head: HeaderList, mode: BodySendMode) {
    this.#stream = stream
    this.#mode = mode
    this.#good = findHeader(head, ':status')?.startsWith('2') === true
    this.#usage = this.#good ? RawUsage.of(findHeader(head, 'content-type'), usageHints('')) : null
  }

  head(endOfStream: boolean): void {
    this.#stream.write(
      create(ProcessingResponseSchema, { response: { case: 'responseHeaders', value: { response: {} } } }),
    )
    if (endOfStream) this.#stream.end()
  }

  body({ body, endOfStream }: HttpBody): void {
    this.#usage?.add(Buffer.from(body.buffer, body.byteOffset, body.byteLength))
    const duplex = this.#mode === BodySendMode.FULL_DUPLEX_STREAMED
    const streamed = { bodyMutation: { mutation: { case: 'streamedResponse' as const, value: { body, endOfStream } } } }
    const response = { case: 'responseBody' as const, value: { response: duplex ? streamed : {} } }
    this.#stream.write(
      create(ProcessingResponseSchema, endOfStream ? { response, dynamicMetadata: this.#metadata() } : { response }),
    )
    if (endOfStream) this.#stream.end()
  }

  trailers(): void {
    const response = { case: 'responseTrailers' as const, value: {} }
    this.#stream.write(create(ProcessingResponseSchema, { response, dynamicMetadata: this.#metadata() }))
    this.#stream.end()
  }

  #metadata(): JsonObject {
    // A call that failed has used nothing, and whoever holds something for it should know.
    const usage = this.#good ? (this.#usage?.usage ?? null) : NO_USAGE
    if (usage === null) return {}
    const { inputTokens, outputTokens } = usage
    const total = inputTokens + outputTokens
    return {
      [NAMESPACE]: {
        input_tokens: inputTokens,
        output_tokens: outputTokens,
        total_tokens: total,
        usage: `${inputTokens},${outputTokens}`,
      },
    }
  }
}
