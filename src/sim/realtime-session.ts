import type { WebSocket } from 'ws'
import type { SimState } from './call.ts'
import type { JsonObject } from './json.ts'
import type { Message } from './prompt.ts'
import { textPieces, think } from './brain.ts'
import { isObject, parseJson } from './json.ts'
import { countTokens } from './tokens.ts'

/** One message of a conversation as the API has it, and as the brain reads it. */
interface Item {
  readonly shown: JsonObject
  readonly message: Message
}

const textOf = (content: unknown): string =>
  Array.isArray(content)
    ? content
        .map((part: unknown) => {
          const { text, transcript } = isObject(part as never) ? (part as JsonObject) : {}
          return typeof text === 'string' ? text : typeof transcript === 'string' ? transcript : ''
        })
        .join('')
    : ''

/** One session: what its client sends, and what is answered. */
export class RealtimeSession {
  readonly #socket: WebSocket
  readonly #state: SimState
  readonly #model: string
  readonly #items: Item[] = []
  readonly #id: string
  /** Events after which the connection is cut; 0 = it is not. */
  readonly #dropAfter: number
  #sent = 0
  #instructions = ''
  /** Id of the response that is being made; '' = none. */
  #making = ''

  constructor(socket: WebSocket, state: SimState, model: string, dropAfter: number) {
    this.#socket = socket
    this.#state = state
    this.#model = model
    this.#dropAfter = dropAfter
    this.#id = `sess_${state.nextId(24)}`
  }

  begin(): void {
    this.#send('session.created', { session: this.#session })
  }

  get #session(): JsonObject {
    return {
      type: 'realtime',
      object: 'realtime.session',
      id: this.#id,
      model: this.#model,
      output_modalities: ['text'],
      instructions: this.#instructions,
      tools: [],
      tool_choice: 'auto',
      max_output_tokens: 'inf',
    }
  }

  #send(type: string, more: JsonObject): void {
    this.#socket.send(JSON.stringify({ type, event_id: `event_${this.#state.nextId(24)}`, ...more }))
    if (++this.#sent === this.#dropAfter) this.#socket.terminate()
  }

  #error(message: string, param: string | null, eventId: unknown): void {
    this.#send('error', {
      error: {
        type: 'invalid_request_error',
        code: 'invalid_value',
        message,
        param,
        event_id: typeof eventId === 'string' ? eventId : null,
      },
    })
  }

  take(data: Buffer, binary: boolean): void {
    let event: unknown = null
    try {
      event = binary ? null : parseJson(data.toString())
    } catch {
      // Said below.
    }
    if (!isObject(event as never)) {
      this.#error('The message is no JSON object.', null, null)
      return
    }
    const { type, event_id: id, session, item, response } = event as JsonObject
    if (type === 'session.update') this.#update(session)
    else if (type === 'conversation.item.create') this.#add(item, id)
    else if (type === 'response.create') this.#respond(response).catch(() => this.#socket.terminate())
    else if (type === 'response.cancel') this.#making = ''
    else this.#error(`Invalid value: '${String(type)}'.`, 'type', id)
  }

  #update(session: unknown): void {
    const { instructions } = isObject(session as never) ? (session as JsonObject) : {}
    if (typeof instructions === 'string') this.#instructions = instructions
    this.#send('session.updated', { session: this.#session })
  }

  #add(item: unknown, id: unknown): void {
    if (!isObject(item as never) || (item as JsonObject)['type'] !== 'message') {
      this.#error('Only items of type `message` are understood.', 'item.type', id)
      return
    }
    const { role, content } = item as JsonObject
    const known = role === 'assistant' || role === 'system' ? role : 'user'
    const shown = {
      object: 'realtime.item',
      status: 'completed',
      id: `item_${this.#state.nextId(20)}`,
      ...(item as JsonObject),
    }
    this.#keep(shown, { role: known, text: textOf(content), media: [], calls: [] })
  }

  #keep(shown: JsonObject, message: Message): void {
    const previous = this.#items.at(-1)?.shown['id'] ?? null
    this.#items.push({ shown, message })
    for (const type of ['conversation.item.added', 'conversation.item.done'])
      this.#send(type, { previous_item_id: previous, item: shown })
  }

  async #respond(asked: unknown): Promise<void> {
    const { instructions = this.#instructions } = isObject(asked as never) ? (asked as JsonObject) : {}
    const id = `resp_${this.#state.nextId(24)}`
    this.#making = id
    const said = this.#items.map(({ message }) => message)
    const system: Message = { role: 'system', text: String(instructions), media: [], calls: [] }
    const messages = instructions === '' ? said : [system, ...said]
    const thought = think(
      {
        model: this.#model,
        messages,
        tools: [],
        toolChoice: { mode: 'auto' },
        parallel: false,
        format: { type: 'text' },
        seed: 0,
        stop: [],
        maxTokens: undefined,
        minTokens: 0,
        effort: undefined,
        suffix: '',
      },
      this.#state.seed,
    )
    const response = (status: string, more: JsonObject): JsonObject => ({
      object: 'realtime.response',
      id,
      status,
      status_details: null,
      output_modalities: ['text'],
      conversation_id: `conv_${this.#id}`,
      ...more,
    })
    this.#send('response.created', { response: response('in_progress', { output: [], usage: null }) })
    const item = { object: 'realtime.item', id: `item_${this.#state.nextId(20)}`, type: 'message', role: 'assistant' }
    const at = { response_id: id, item_id: item.id, output_index: 0, content_index: 0 }
    this.#send('response.output_item.added', {
      response_id: id,
      output_index: 0,
      item: { ...item, status: 'in_progress', content: [] },
    })
    this.#send('response.content_part.added', { ...at, part: { type: 'text', text: '' } })
    let text = ''
    let tokens = 0
    for (const piece of textPieces(thought)) {
      if (this.#making !== id || this.#socket.readyState !== this.#socket.OPEN) break
      text += piece
      tokens++
      this.#send('response.output_text.delta', { ...at, delta: piece })
      // Others have their turn, and a slow reader holds it up.
      await new Promise((resolve) => setImmediate(resolve))
    }
    const status = this.#making === id ? 'completed' : 'cancelled'
    const whole = { ...item, status: 'completed', content: [{ type: 'output_text', text }] }
    this.#send('response.output_text.done', { ...at, text })
    this.#send('response.content_part.done', { ...at, part: { type: 'text', text } })
    this.#send('response.output_item.done', { response_id: id, output_index: 0, item: whole })
    this.#keep(whole, { role: 'assistant', text, media: [], calls: [] })
    const input = messages.reduce((sum, message) => sum + countTokens(message.text), 0)
    const usage = {
      total_tokens: input + tokens,
      input_tokens: input,
      output_tokens: tokens,
      input_token_details: { text_tokens: input, audio_tokens: 0, image_tokens: 0, cached_tokens: 0 },
      output_token_details: { text_tokens: tokens, audio_tokens: 0 },
    }
    this.#making = ''
    this.#send('response.done', { response: response(status, { output: [whole], usage }) })
  }
}
