import type { Json, JsonObject } from '../../../contracts/canonical.ts'
import type { Matcher } from '../../../core/glob.ts'
import { isObject } from '../../../protocol/canonical/read.ts'
import type { BatchError } from './records.ts'

/** Paths that lines may ask. */
export const ENDPOINTS = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/embeddings',
  '/v1/completions',
  '/v1/messages',
] as const

/** One line of an input file (openai-openapi `BatchRequestInput`). */
export interface Line {
  readonly customId: string
  readonly body: JsonObject
}

const MAX_ID = 256

/** Reads a line. endpoint: of the batch. runs: models whose batches run here. What is wrong with it is returned. */
export function readLine(text: string, number: number, endpoint: string, runs: Matcher): Line | BatchError {
  const fault = (code: string, message: string, param: string | null = null): BatchError => ({
    code,
    message,
    line: number,
    param,
  })
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    return fault('invalid_json_line', 'This line is not valid JSON.')
  }
  if (!isObject(value)) return fault('invalid_json_line', 'This line is not a JSON object.')
  const { custom_id: customId, method, url, body } = value
  if (typeof customId !== 'string' || customId === '' || customId.length > MAX_ID)
    return fault('missing_required_parameter', `custom_id must be a text of 1 to ${MAX_ID} characters.`, 'custom_id')
  if (method !== 'POST') return fault('invalid_method', 'method must be POST.', 'method')
  if (url !== endpoint) return fault('invalid_url', `url must be that of the batch, ${endpoint}.`, 'url')
  if (!isObject(body)) return fault('missing_required_parameter', 'body must be an object.', 'body')
  if (typeof body['model'] !== 'string' || !runs(body['model']))
    return fault('model_not_found', 'Batches of this model do not run here.', 'body.model')
  if (body['stream'] === true) return fault('invalid_request', 'A line of a batch cannot be streamed.', 'body.stream')
  if (body['background'] === true)
    return fault('invalid_request', 'A line of a batch cannot be made in the background.', 'body.background')
  return { customId, body }
}

export const isFault = (line: Line | BatchError): line is BatchError => 'code' in line

/** Lines of a part of a file; empty ones are none. */
export const linesIn = (part: Buffer): string[] =>
  part
    .toString()
    .split('\n')
    .filter((line) => line.trim() !== '')

/** openai-openapi `BatchRequestOutput`. body: JSON text, as it was answered. */
export const answeredLine = (
  id: string,
  customId: string,
  answer: { readonly status: number; readonly requestId: string; readonly body: string },
): string => {
  const head = JSON.stringify({ id, custom_id: customId })
  const { status, requestId, body } = answer
  const response = `{"status_code":${status},"request_id":${JSON.stringify(requestId)},"body":${body}}`
  return `${head.slice(0, -1)},"response":${response},"error":null}\n`
}

export const unansweredLine = (id: string, customId: string, code: string, message: string): string =>
  `${JSON.stringify({ id, custom_id: customId, response: null, error: { code, message } })}\n`
