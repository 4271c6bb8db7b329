import type { Json, JsonObject } from '../../../contracts/canonical.ts'
import type { Principal } from '../../../contracts/identity.ts'
import type { Owner } from '../../../store/blob-key.ts'

export const FILE_PREFIX = 'file-hdl_'
export const BATCH_PREFIX = 'batch_hdl_'
const ID = /^(?:file-|batch_)hdl_[A-Za-z0-9_-]{32}$/

export const isFileId = (id: string): boolean => id.startsWith(FILE_PREFIX) && ID.test(id)
export const isBatchId = (id: string): boolean => id.startsWith(BATCH_PREFIX) && ID.test(id)

/** What is kept of a file, beside its parts. Times are epoch seconds. */
export interface FileRecord {
  readonly id: string
  readonly bytes: number
  readonly createdAt: number
  readonly expiresAt: number
  readonly filename: string
  readonly purpose: 'batch' | 'batch_output'
  /** Each ends with the end of a line. */
  readonly parts: number
}

/** openai-openapi `OpenAIFile`. */
export const fileJson = (file: FileRecord): JsonObject => ({
  id: file.id,
  object: 'file',
  bytes: file.bytes,
  created_at: file.createdAt,
  expires_at: file.expiresAt,
  filename: file.filename,
  purpose: file.purpose,
  status: 'processed',
  status_details: null,
})

export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled'

export interface BatchError {
  readonly code: string
  readonly message: string
  readonly line: number | null
  readonly param: string | null
}

/** What one result file is made of so far. */
export interface Results {
  readonly id: string
  readonly parts: number
  readonly bytes: number
}

/** Whose a batch is: as much as is needed to know the caller again. */
export interface BatchCaller extends Owner {
  /** A peer came along: only where the request came in is known what it may do. */
  readonly peer: boolean
}

export const callerOf = ({ kind, tenant, keyId, peer }: Principal): BatchCaller => ({
  kind,
  tenant,
  keyId,
  peer: peer !== null,
})

export interface BatchRecord {
  readonly id: string
  readonly caller: BatchCaller
  readonly endpoint: string
  readonly inputFileId: string
  readonly window: string
  readonly metadata: Json
  readonly createdAt: number
  readonly expiresAt: number
  readonly status: BatchStatus
  /** When it got each status, epoch seconds. */
  readonly times: Readonly<Partial<Record<BatchStatus, number>>>
  readonly errors: readonly BatchError[]
  readonly total: number
  /** So many lines from the first on have their results in the files, and those of `ahead` (from 0) as well. */
  readonly done: number
  readonly ahead: readonly number[]
  readonly completed: number
  readonly failed: number
  readonly output: Results
  readonly error: Results
}

const FINAL: ReadonlySet<BatchStatus> = new Set<BatchStatus>(['failed', 'completed', 'expired', 'cancelled'])

export const isFinal = ({ status }: BatchRecord): boolean => FINAL.has(status)

/** openai-openapi `Batch`. */
export function batchJson(batch: BatchRecord): JsonObject {
  const { times } = batch
  const over = isFinal(batch)
  const file = ({ id, parts }: Results): string | null => (over && parts > 0 ? id : null)
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    errors: batch.errors.length === 0 ? null : { object: 'list', data: batch.errors.map((error) => ({ ...error })) },
    input_file_id: batch.inputFileId,
    completion_window: batch.window,
    status: batch.status,
    output_file_id: file(batch.output),
    error_file_id: file(batch.error),
    created_at: batch.createdAt,
    in_progress_at: times.in_progress ?? null,
    expires_at: batch.expiresAt,
    finalizing_at: times.finalizing ?? null,
    completed_at: times.completed ?? null,
    failed_at: times.failed ?? null,
    expired_at: times.expired ?? null,
    cancelling_at: times.cancelling ?? null,
    cancelled_at: times.cancelled ?? null,
    request_counts: { total: batch.total, completed: batch.completed, failed: batch.failed },
    metadata: batch.metadata,
  }
}

/** The same batch with another status, from now on; now: epoch seconds. */
export const withStatus = (batch: BatchRecord, status: BatchStatus, now: number): BatchRecord => ({
  ...batch,
  status,
  times: { ...batch.times, [status]: now },
})
