/**
 * Bedrock Converse: `POST /model/{id}/converse` and `/converse-stream`, as in the models of
 * @aws-sdk/client-bedrock-runtime.
 */
import { ApiError, badRequest } from '../errors.ts'
import { table } from '../json.ts'
import type { Arrived, SimWire } from '../wire.ts'
import { bearerOf, firstOf, HTTP_HINTS } from '../wire.ts'
import { converse, converseStream, filteredAnswer } from './answer.ts'

const TYPES = table<string>({
  400: 'ValidationException',
  401: 'UnrecognizedClientException',
  403: 'AccessDeniedException',
  404: 'ResourceNotFoundException',
  408: 'ModelTimeoutException',
  409: 'ConflictException',
  424: 'ModelErrorException',
  429: 'ThrottlingException',
  500: 'InternalServerException',
  503: 'ServiceUnavailableException',
})

const errorType = (status: number): string =>
  TYPES[status] ?? (status >= 500 ? 'InternalServerException' : 'ValidationException')

const MODEL = /^\/model\/([^/]+)\/converse(?:-stream)?$/

const modelOf = ({ path }: Arrived): string => {
  const model = MODEL.exec(path)?.[1] ?? ''
  try {
    return decodeURIComponent(model)
  } catch {
    return model
  }
}

/** Signature Version 4, its form: whether it is right, only one who knows the secret can say. */
const SIGNED =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([a-z0-9-]+)\/bedrock\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=[0-9a-f]{64}$/

const checkSigned = ({ headers }: Arrived): void => {
  const signed = SIGNED.exec(headers.authorization ?? '')
  if (signed === null)
    throw new ApiError(
      403,
      `Authorization header requires 'Credential' parameter, 'Signature' parameter, 'SignedHeaders' parameter and existence of either a 'X-Amz-Date' or a 'Date' header.`,
      { code: 'IncompleteSignatureException' },
    )
  const [, , day = '', , names = ''] = signed
  const list = names.split(';')
  const date = String(headers['x-amz-date'] ?? '')
  if (!/^\d{8}T\d{6}Z$/.test(date) || !date.startsWith(day))
    throw new ApiError(403, 'Credential should be scoped to a valid date.', { code: 'InvalidSignatureException' })
  if (!list.includes('host') || !list.includes('x-amz-date'))
    throw new ApiError(403, "'Host' and 'X-Amz-Date' must be signed.", { code: 'InvalidSignatureException' })
}

export const bedrock: SimWire = {
  name: 'bedrock',
  routes: [
    [/^\/model\/([^/]+)\/converse$/, { POST: converse }],
    [/^\/model\/([^/]+)\/converse-stream$/, { POST: converseStream }],
  ],
  modelOf,
  keyOf: ({ headers }) => bearerOf(headers) || (SIGNED.exec(headers.authorization ?? '')?.[1] ?? ''),
  checkKey: (arrived, wanted) => {
    const bearer = bearerOf(arrived.headers)
    if (bearer === '') {
      if (arrived.headers.authorization === undefined)
        throw new ApiError(403, 'Missing Authentication Token', { code: 'MissingAuthenticationTokenException' })
      return checkSigned(arrived)
    }
    if (bearer !== wanted)
      throw new ApiError(403, 'Authentication failed: Please make sure your API Key is valid.', {
        code: 'AccessDeniedException',
      })
  },
  error: (error) => {
    const { 'retry-after-ms': _, ...headers } = error.headers
    const type = error.code !== null && error.code.endsWith('Exception') ? error.code : errorType(error.status)
    return {
      kind: 'json',
      status: error.status,
      headers: { ...headers, 'x-amzn-errortype': `${type}:http://internal.amazon.com/coral/com.amazon.bedrock/` },
      body: { message: error.message },
    }
  },
  headers: (requestId) => ({ 'x-amzn-requestid': requestId }),
  refusals: {
    exhausted: new ApiError(429, 'Too many tokens per day, please wait before trying again.'),
    tooLong: badRequest('Input is too long for requested model.', null),
    filtered: filteredAnswer,
    overloaded: new ApiError(503, 'Bedrock is unable to process your request.'),
    hints: HTTP_HINTS,
  },
  never: firstOf('annotations_first', 'comments', 'crlf'),
}
