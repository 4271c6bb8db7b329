import { GatewayError } from '../core/errors.ts'

// RFC 6750 section 3: without credentials no error code, with bad ones `invalid_token`.
const CHALLENGE: readonly string[] = ['www-authenticate', 'Bearer']
const INVALID: readonly string[] = ['www-authenticate', 'Bearer error="invalid_token"']

/** Nothing was sent that could say who calls. `detail` is for the log. */
export const nobody = (detail: string): GatewayError =>
  new GatewayError('unauthenticated', 'No key was sent.', { headers: CHALLENGE, detail })

/** What was sent is not accepted. The caller is not told why; `detail`, for the log, names the rule and never the token. */
export const refused = (detail: string): GatewayError =>
  new GatewayError('unauthenticated', 'The key or token is not valid.', { headers: INVALID, detail })

/** SDKs of AWS sign where they are given no token. */
export const signedForAws = (): GatewayError =>
  new GatewayError(
    'permission_denied',
    'Signatures of AWS are not taken here: send a key as a bearer token (`AWS_BEARER_TOKEN_BEDROCK`, or `token` of the client).',
    { headers: CHALLENGE, verbatim: true, detail: 'the request is signed for AWS' },
  )
