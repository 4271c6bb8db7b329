import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

export interface FetchOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** PEM; null = what the system trusts. */
  readonly ca?: string | null
  /** Ms for all of it, connecting included. */
  readonly timeoutMs?: number
  /** Larger answers are refused, bytes. */
  readonly maxBytes?: number
}

export interface FetchedAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const TIMEOUT_MS = 5000
const MAX_BYTES = 1024 * 1024

/**
 * One small request off the request path: key sets, tokens, records. Follows no redirect (an answer of 3xx is handed
 * back), and rejects with an Error whose message names the host and the cause but no query and no content.
 */
export function fetchSmall(url: string, options: FetchOptions = {}): Promise<FetchedAnswer> {
  const { method = 'GET', headers = {}, body, ca, timeoutMs = TIMEOUT_MS, maxBytes = MAX_BYTES } = options
  const target = new URL(url)
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    let answered = false
    const fail = (cause: string): void => {
      reject(new Error(`${target.host}: ${cause}`))
      request.destroy()
    }
    const request = send(
      target,
      { method, headers, agent: false, ...(typeof ca === 'string' ? { ca } : {}) },
      (response) => {
        answered = true
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > maxBytes) fail(`answered more than ${maxBytes} bytes`)
          else chunks.push(chunk)
        })
        response.on('end', () => {
          clearTimeout(timer)
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          })
        })
        response.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'broken answer'))
      },
    )
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    request.on('close', () => {
      clearTimeout(timer)
      // Node tells of no error when it is offered another protocol (101).
      if (!answered) fail('closed without an answer')
    })
    request.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message))
    request.end(body)
  })
}
