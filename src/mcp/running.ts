import type { RpcId } from './json-rpc.ts'
import type { RoutedCall } from './routed-call.ts'

/** Calls of servers that are under way in this worker, by session and id: clients take them back by those. */
export class Running {
  readonly #calls = new Map<string, RoutedCall>()

  add(call: RoutedCall): void {
    this.#calls.set(call.key, call)
  }

  remove(call: RoutedCall): void {
    // A client may use an id twice.
    if (this.#calls.get(call.key) === call) this.#calls.delete(call.key)
  }

  /** False = there is none here. */
  cancel(session: string, id: RpcId, reason: string): boolean {
    const call = this.#calls.get(`${session} ${JSON.stringify(id)}`)
    call?.cancel(reason)
    return call !== undefined
  }

  get size(): number {
    return this.#calls.size
  }
}
