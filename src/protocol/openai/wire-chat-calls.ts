import { fieldsOf, isFields, type Loose, textOf } from '../canonical/loose.ts'
import type { Choice, Teller } from '../canonical/telling.ts'

/** A call that is being told. */
interface Slot {
  /** Ours; -1 = not begun, its name has not come. */
  index: number
  id: string
  custom: boolean
  /** Arguments that came before the name. */
  early: string
}

/** Most calls one answer may make; a greater index is a fault. */
const MAX_CALLS = 1024

/**
 * Calls of one answer. OpenAI counts them and gives id and name with the first piece; others leave out the index, the id
 * or both, repeat name and id with every piece, or count each call as the first.
 */
export class ChatCalls {
  readonly #teller: Teller
  readonly #choice: Choice
  readonly #slots = new Map<number, Slot>()
  #last: Slot | null = null
  #legacy: Slot | null = null

  constructor(teller: Teller, choice: Choice) {
    this.#teller = teller
    this.#choice = choice
  }

  /** whole: each entry is a call of its own. */
  list(entries: readonly unknown[], whole: boolean): void {
    for (const entry of entries) {
      if (!isFields(entry)) continue
      const slot = whole ? this.#new('') : this.#slot(entry)
      if (slot !== null) this.#piece(slot, entry)
    }
  }

  /** `function_call` of the old API: one call, without an id. */
  legacy(call: Loose): void {
    this.#legacy ??= this.#new('')
    this.#piece(this.#legacy, { function: call })
  }

  /** Calls whose name never came. */
  complete(): void {
    for (const slot of [...this.#slots.values(), this.#last])
      if (slot !== null && slot.early !== '') this.#begin(slot, '')
  }

  #new(id: string): Slot {
    return { index: -1, id, custom: false, early: '' }
  }

  #slot(entry: Loose): Slot | null {
    const id = textOf(entry['id'])
    const at = entry['index']
    const known = typeof at === 'number' ? this.#slots.get(at) : this.#last
    const named = textOf(fieldsOf(entry['function'])['name']) !== ''
    const another =
      known === undefined ||
      known === null ||
      (id !== '' && known.id !== '' && id !== known.id) ||
      // Without index and id, a name begins a call.
      (typeof at !== 'number' && id === '' && named)
    if (!another) return known
    if (typeof at === 'number' && (at < 0 || at >= MAX_CALLS)) return null
    const slot = this.#new(id)
    if (typeof at === 'number') this.#slots.set(at, slot)
    this.#last = slot
    return slot
  }

  #piece(slot: Slot, entry: Loose): void {
    const custom = entry['type'] === 'custom' || isFields(entry['custom'])
    const inner = fieldsOf(custom ? entry['custom'] : entry['function'])
    slot.custom ||= custom
    slot.id ||= textOf(entry['id'])
    const given = custom ? inner['input'] : inner['arguments']
    const piece = typeof given === 'string' ? given : isFields(given) ? JSON.stringify(given) : ''
    if (slot.index < 0) {
      const name = textOf(inner['name'])
      if (name === '') {
        slot.early += piece
        return
      }
      this.#begin(slot, name)
    }
    if (piece !== '') this.#teller.sink.toolArguments(this.#choice.index, slot.index, piece)
    if (isFields(entry['extra_content'])) this.#sign(slot, entry['extra_content'])
  }

  #begin(slot: Slot, name: string): void {
    slot.index = this.#teller.call(this.#choice, slot.id, name, slot.custom)
    if (slot.early !== '') this.#teller.sink.toolArguments(this.#choice.index, slot.index, slot.early)
    slot.early = ''
  }

  /** Google's compatible endpoint wants this back: ai.google.dev/gemini-api/docs/thought-signatures. */
  #sign(slot: Slot, extra: Loose): void {
    if (textOf(fieldsOf(extra['google'])['thought_signature']) === '') return
    const value = JSON.stringify(extra)
    this.#teller.sink.toolSignature(this.#choice.index, slot.index, { by: 'openai.chat', value })
  }
}
