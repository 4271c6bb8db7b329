import { randomBytes } from 'node:crypto'

/** 192 bits: an id that is kept by nobody else's key cannot be guessed either. */
const RANDOM_BYTES = 24
const OWN = /^resp_hdl_[A-Za-z0-9_-]{32}$/
/** Items hold the id of their answer: see ItemIds. `i` counts those of the input. */
const ITEM = /^[a-z]+_(hdl_[A-Za-z0-9_-]{32})_i?\d{1,9}$/

export const KEPT_PREFIX = 'resp_hdl_'

export const newId = (prefix: string): string => `${prefix}${randomBytes(RANDOM_BYTES).toString('base64url')}`

/** Of an answer that is, or was, kept here; those of providers are theirs. */
export const isKeptId = (id: string): boolean => OWN.test(id)

/** Id of the answer that an item belongs to; null = not one of ours. */
export const answerOfItem = (item: string): string | null => {
  const base = ITEM.exec(item)?.[1]
  return base === undefined ? null : `resp_${base}`
}

/** Of an answer's own input. */
export const inputItemId = (type: string, id: string, index: number): string =>
  `${PREFIXES[type] ?? 'item'}_${id.slice('resp_'.length)}_i${index}`

const PREFIXES: Readonly<Record<string, string>> = {
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  function_call_output: 'fco',
  custom_tool_call: 'ctc',
  custom_tool_call_output: 'ctco',
}
