/** `/v1/files`: uploads kept in memory. */
import type { Handler, StoredFile } from './call.ts'
import { epochSeconds, remember } from './call.ts'
import { ApiError, badRequest } from './errors.ts'
import type { JsonObject } from './json.ts'
import type { Call } from './call.ts'
import { fieldText, parseMultipart } from './multipart.ts'

const fileBody = (file: StoredFile): JsonObject => ({
  id: file.id,
  object: 'file',
  bytes: file.bytes.length,
  created_at: file.createdAt,
  expires_at: null,
  filename: file.filename,
  purpose: file.purpose,
  status: 'processed',
})

const find = (call: Call, id: string): StoredFile => {
  const file = call.state.files.get(id)
  if (file === undefined) throw new ApiError(404, `No such File object: ${id}`, { param: 'id', code: null })
  return file
}

export const uploadFile: Handler = (call) => {
  const parts = parseMultipart(call.headers['content-type'] ?? '', call.raw)
  const upload = parts.find((part) => part.name === 'file' && part.filename !== undefined)
  const purpose = fieldText(parts, 'purpose')
  if (upload === undefined)
    throw badRequest("Missing required parameter: 'file'.", 'file', 'missing_required_parameter')
  if (purpose === undefined)
    throw badRequest("Missing required parameter: 'purpose'.", 'purpose', 'missing_required_parameter')
  const file: StoredFile = {
    id: `file-${call.state.nextId(24)}`,
    filename: upload.filename ?? 'file',
    purpose,
    createdAt: epochSeconds(),
    contentType: upload.contentType,
    bytes: Buffer.from(upload.bytes),
  }
  remember(call.state.files, file.id, file, 500)
  return { kind: 'json', body: fileBody(file) }
}

export const listFiles: Handler = (call) => {
  const purpose = call.query.get('purpose')
  const files = [...call.state.files.values()]
    .filter((file) => purpose === null || file.purpose === purpose)
    .toReversed()
  const first = files[0]?.id ?? null
  const last = files.at(-1)?.id ?? null
  return {
    kind: 'json',
    body: { object: 'list', data: files.map(fileBody), first_id: first, last_id: last, has_more: false },
  }
}

export const getFile: Handler = (call, id = '') => ({ kind: 'json', body: fileBody(find(call, id)) })

export const getFileContent: Handler = (call, id = '') => {
  const file = find(call, id)
  return { kind: 'bytes', contentType: file.contentType, bytes: file.bytes }
}

export const deleteFile: Handler = (call, id = '') => {
  find(call, id)
  call.state.files.delete(id)
  return { kind: 'json', body: { id, object: 'file', deleted: true } }
}
