// Entry of a worker thread: one Worker, driven by messages of the main thread.
import { parentPort, workerData } from 'node:worker_threads'
import { GatewayError } from '../core/errors.ts'
import type { Command, Report } from './messages.ts'
import { Worker, type WorkerInit } from './worker.ts'

const port = parentPort!
const worker = new Worker(workerData as WorkerInit)
const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error))

async function run(command: Command): Promise<unknown> {
  switch (command.name) {
    case 'listen':
      return worker.listen(command.ports, command.hold)
    case 'prepare':
      return worker.prepare(command.update)
    case 'commit':
      return worker.commit()
    case 'discard':
      return worker.discard()
    case 'metrics':
      return worker.metrics()
    case 'beginDrain':
      return worker.beginDrain()
    case 'drain':
      return worker.drain(command.maxMs)
    case 'feed':
      return worker.feed(command.feed)
    case 'control':
      return worker.control(command.control)
  }
}

port.on('message', (command: Command & { readonly id: number }) => {
  run(command).then(
    (value) => port.postMessage({ id: command.id, value } satisfies Report),
    (error: unknown) =>
      port.postMessage({
        id: command.id,
        error: errorText(error),
        refused: GatewayError.is(error) && error.code === 'invalid_request',
      } satisfies Report),
  )
})
