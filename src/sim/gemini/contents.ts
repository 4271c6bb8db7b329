/** The turns of a Gemini request: parts, pairing of calls with their results, signatures that must come back. */
import type { Call } from '../call.ts'
import { badRequest } from '../errors.ts'
import { Fields } from '../fields.ts'
import type { JsonObject } from '../json.ts'
import { base64Length } from '../parts.ts'
import type { Message } from '../prompt.ts'
import { isSealed } from '../seal.ts'
import { WORDS } from './words.ts'

const PART = new Set([
  'text',
  'thought',
  'thoughtSignature',
  'inlineData',
  'fileData',
  'functionCall',
  'functionResponse',
  'executableCode',
  'codeExecutionResult',
  'videoMetadata',
  'mediaResolution',
  'partMetadata',
])
const DATA = [
  'text',
  'inlineData',
  'fileData',
  'functionCall',
  'functionResponse',
  'executableCode',
  'codeExecutionResult',
]

const MIME =
  /^(?:image\/(?:png|jpeg|webp|heic|heif|gif)|audio\/[\w.+-]+|video\/[\w.+-]+|application\/(?:pdf|json)|text\/[\w.+-]+)$/

const blob = (part: Fields): string => {
  const data = part.need('inlineData', part.object('inlineData'))
  data.only(new Set(['mimeType', 'data', 'displayName']))
  const mime = data.need('mimeType', data.text('mimeType'))
  if (!MIME.test(mime)) throw data.bad('mimeType', `Unsupported MIME type: ${mime}`)
  return `${mime} (${base64Length(data.need('data', data.text('data')), data.where('data'))} bytes)`
}

const file = (part: Fields): string => {
  const data = part.need('fileData', part.object('fileData'))
  data.only(new Set(['mimeType', 'fileUri', 'displayName']))
  data.need('fileUri', data.text('fileUri'))
  return (data.text('mimeType') ?? 'image/*').startsWith('image/') ? 'an image by URL' : 'a file by URL'
}

/** What Google says to be given in lieu of a signature that another model's call does not have. */
const NO_PROOF = new Set(['skip_thought_signature_validator', 'context_engineering_is_the_way_to_go'])

interface Called {
  readonly id: string
  readonly name: string
  readonly input: string
}

interface Turn {
  readonly texts: string[]
  readonly media: string[]
  readonly calls: Called[]
  readonly results: { readonly name: string; readonly id: string; readonly text: string; readonly media: string[] }[]
}

/** The text that a result is, where it is wrapped as the API's documentation proposes. */
const resultText = (response: JsonObject): string => {
  const entries = Object.entries(response)
  const [only] = entries
  if (entries.length === 1 && only !== undefined && typeof only[1] === 'string') {
    if (['output', 'result', 'content', 'error'].includes(only[0])) return only[1]
  }
  return JSON.stringify(response)
}

const readCall = (turn: Turn, part: Fields): Called => {
  const made = part.need('functionCall', part.object('functionCall'))
  made.only(new Set(['id', 'name', 'args']))
  const name = made.need('name', made.text('name'))
  const input = JSON.stringify(made.object('args')?.value ?? {})
  const read = { id: made.text('id') ?? '', name, input }
  turn.calls.push(read)
  return read
}

const readResult = (turn: Turn, part: Fields): void => {
  const made = part.need('functionResponse', part.object('functionResponse'))
  made.only(new Set(['id', 'name', 'response', 'parts', 'willContinue', 'scheduling']))
  const response = made.need('response', made.object('response'))
  turn.results.push({
    name: made.need('name', made.text('name')),
    id: made.text('id') ?? '',
    text: resultText(response.value),
    media: made.objects('parts').map((one) => (one.get('fileData') === undefined ? blob(one) : file(one))),
  })
}

const checkSignature = (call: Call, part: Fields, signed: string): void => {
  const proof = part.text('thoughtSignature')
  if (proof === undefined || NO_PROOF.has(proof)) return
  if (!isSealed(call.state, 'thought', signed, proof))
    throw part.bad('thoughtSignature', 'Corrupted thought signature.')
}

const readPart = (turn: Turn, part: Fields, call: Call): void => {
  part.only(PART)
  const present = DATA.filter((name) => part.get(name) !== undefined)
  if (present.length === 0 && part.get('thoughtSignature') === undefined)
    throw badRequest(
      `* GenerateContentRequest.${part.at}.data: required oneof field 'data' must have one initialized field`,
      part.at,
    )
  if (present.length > 1)
    throw badRequest(
      `Invalid value at '${part.at}' (oneof), oneof field 'data' is already set. Cannot set '${present[1] ?? ''}'`,
      part.at,
    )
  switch (present[0]) {
    case 'functionCall': {
      const made = readCall(turn, part)
      return checkSignature(call, part, `${made.name}${made.input}`)
    }
    case 'functionResponse':
      return readResult(turn, part)
    case 'inlineData':
      return void turn.media.push(blob(part))
    case 'fileData':
      return void turn.media.push(file(part))
    case 'text': {
      const text = part.need('text', part.text('text'))
      if (part.flag('thought') === true) return
      // The text a signature stands for may come back with it or in another part.
      if (text !== '') turn.texts.push(text)
      return checkSignature(call, part, 'text')
    }
    default:
  }
}

const readTurn = (content: Fields, call: Call): Turn => {
  content.only(new Set(['role', 'parts']))
  const turn: Turn = { texts: [], media: [], calls: [], results: [] }
  const parts = content.objects('parts')
  if (parts.length === 0)
    throw badRequest(`* GenerateContentRequest.${content.at}.parts: contents.parts must not be empty.`, content.at)
  for (const part of parts) readPart(turn, part, call)
  return turn
}

/** @throws ApiError 400 */
export const readInstruction = (body: Fields, call: Call): Message[] => {
  const raw = body.get('systemInstruction')
  if (raw === undefined) return []
  const content = typeof raw === 'string' ? { parts: [{ text: raw }] } : raw
  const { texts } = readTurn(new Fields(WORDS, content, 'systemInstruction'), call)
  return texts.map((text) => ({ role: 'system', text, media: [], calls: [] }))
}

/** Results come in the turn right after the calls, as many as there were, in whatever order. */
const pair = (open: readonly Called[], turn: Turn): Message[] => {
  if (turn.results.length !== open.length)
    throw badRequest(
      'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.',
      null,
    )
  const left = [...open]
  return turn.results.map(({ name, id, text, media }) => {
    const at = left.findIndex((made) => made.name === name && (id === '' || made.id === '' || made.id === id))
    if (at < 0)
      throw badRequest(
        `Please ensure that function response '${name}' matches a function call of the turn before.`,
        null,
      )
    left.splice(at, 1)
    return { role: 'tool', text, media, calls: [], toolName: name }
  })
}

/** Models of that generation think always, and sign what they call. */
export const mustSign = (model: string): boolean => /gemini-[3-9]/.test(model)

/** In the turn that is going on, the first call of each step must carry its signature. */
const checkSigned = (contents: readonly Fields[], model: string): void => {
  if (!mustSign(model)) return
  const asked = contents.findLastIndex(
    (content) =>
      content.text('role') !== 'model' && content.objects('parts').some((part) => part.get('text') !== undefined),
  )
  for (const [index, content] of contents.entries()) {
    if (index <= asked) continue
    const first = content.objects('parts').find((part) => part.get('functionCall') !== undefined)
    if (first === undefined || first.get('thoughtSignature') !== undefined) continue
    const name = first.object('functionCall')?.text('name') ?? ''
    throw badRequest(
      `Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call \`default_api:${name}\` , position ${index + 1}.`,
      first.at,
    )
  }
}

/** @throws ApiError 400 */
export const readContents = (body: Fields, call: Call): Message[] => {
  const contents = body.objects('contents')
  if (contents.length === 0)
    throw badRequest('* GenerateContentRequest.contents: contents is not specified', 'contents')
  const messages: Message[] = []
  let open: readonly Called[] = []
  for (const content of contents) {
    const role = content.text('role') ?? 'user'
    if (!['user', 'model', 'function'].includes(role))
      throw content.bad('role', 'Please use a valid role: user, model.')
    const turn = readTurn(content, call)
    messages.push(...pair(open, turn))
    open = turn.calls
    const text = turn.texts.join('\n')
    if (role === 'model') messages.push({ role: 'assistant', text, media: turn.media, calls: turn.calls })
    else if (turn.texts.length + turn.media.length > 0)
      messages.push({ role: 'user', text, media: turn.media, calls: [] })
  }
  if (open.length > 0) pair(open, { texts: [], media: [], calls: [], results: [] })
  checkSigned(contents, call.model)
  return messages
}
