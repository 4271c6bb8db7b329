// Entry of the telemetry thread: batches, transports, retries. Whatever it takes, requests do not wait for it.
import type { MessagePort } from 'node:worker_threads'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { SpanChunk } from './link.ts'
import type { FromThread, ThreadData, ToThread } from './messages.ts'
import type { Transport } from './transport.ts'
import { everyUnref } from '../../core/every.ts'
import { Counts } from './link.ts'
import { toResourceMetrics } from './metric-export.ts'
import { SpanExport } from './span-export.ts'
import { createTransport } from './transport.ts'

const { config, origin, counts: buffer } = workerData as ThreadData
const main = parentPort!
const counts = new Counts(buffer)
const ports = new Set<MessagePort>()
const tell = (message: FromThread): void => main.postMessage(message)

const spans =
  config.traces === null
    ? null
    : new SpanExport({
        transport: await createTransport(config.traces, 'traces', origin.version),
        counts,
        batch: config.batch,
        origin,
        onResult: (error, lost) => tell({ kind: 'result', signal: 'traces', error, lost }),
      })
if (spans !== null) everyUnref(() => spans.send(), config.batch.delayMs)
const metrics = config.metrics === null ? null : await createTransport(config.metrics, 'metrics', origin.version)
let sendingMetrics: Promise<void> = Promise.resolve()

async function sendMetrics(transport: Transport, message: ToThread & { readonly kind: 'metrics' }): Promise<void> {
  const all = await import('@opentelemetry/otlp-transformer')
  const serializer =
    config.metrics!.protocol === 'http/json' ? all.JsonMetricsSerializer : all.ProtobufMetricsSerializer
  const request = serializer.serializeRequest(toResourceMetrics(message.families, origin, message.startAt, message.now))
  if (request === undefined) return
  const { error, rejected } = await transport.send(request)
  tell({ kind: 'result', signal: 'metrics', error, lost: rejected })
}

/** Ports are told in no order among each other: what lies in them is fetched before a flush counts as one. */
async function flush(): Promise<void> {
  for (const port of ports)
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      spans?.add(next.message as SpanChunk)
  await Promise.all([spans?.flush(), sendingMetrics])
}

main.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'port':
      ports.add(message.port)
      message.port.on('message', (chunk: SpanChunk) => spans?.add(chunk))
      message.port.on('close', () => ports.delete(message.port))
      break
    case 'metrics':
      if (metrics !== null)
        // One after the other, so that a slow collector never gets an older state after a newer one.
        sendingMetrics = sendingMetrics
          .then(() => sendMetrics(metrics, message))
          .catch((error: unknown) => tell({ kind: 'result', signal: 'metrics', error: String(error), lost: 0 }))
      break
    case 'flush':
      void flush().finally(() => tell({ kind: 'flushed', id: message.id }))
  }
})
