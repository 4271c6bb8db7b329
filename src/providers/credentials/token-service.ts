import { readFile } from 'node:fs/promises'
import type { FetchOptions } from '../../core/http-client.ts'
import { fetchSmall } from '../../core/http-client.ts'
import { FixedCredential } from './fixed.ts'
import type { Obtained } from './renewal.ts'

const MAX_BYTES = 256 * 1024
/** The names of errors that token services give (RFC 6749 5.2, AWS, Google); anything else could quote a secret. */
const ERROR_NAME = /^[A-Za-z][\w.-]{0,63}$/

export type Fields = Readonly<Record<string, unknown>>

export const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null ? (value as Fields) : {}

function errorName(body: string): string {
  let name: unknown = /<Code>([^<]{1,64})<\/Code>/.exec(body)?.[1]
  try {
    const fields = fieldsOf(JSON.parse(body))
    name =
      typeof fields['error'] === 'object' ? fieldsOf(fields['error'])['status'] : (fields['error'] ?? fields['code'])
  } catch {
    // XML or a page of some proxy.
  }
  return typeof name === 'string' && ERROR_NAME.test(name) ? ` (${name})` : ''
}

/** Body of an answer of 200. Rejects with an Error that names host, status and the service's error code, nothing else. */
export async function ask(url: string, options: FetchOptions): Promise<string> {
  const { status, body } = await fetchSmall(url, { maxBytes: MAX_BYTES, ...options })
  if (status !== 200) throw new Error(`${new URL(url).host} answered ${status}${errorName(body)}`)
  return body
}

export async function askJson(url: string, options: FetchOptions): Promise<Fields> {
  const body = await ask(url, options)
  try {
    return fieldsOf(JSON.parse(body))
  } catch {
    // The parser's message quotes the text.
    throw new Error(`${new URL(url).host} answered with something that is not JSON`)
  }
}

export const formPost = (fields: Readonly<Record<string, string>>): FetchOptions => ({
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
  body: new URLSearchParams(fields).toString(),
})

/** Text field of an answer. Throws when it is not there. */
export function textField(fields: Fields, name: string, from: string): string {
  const value = fields[name]
  if (typeof value !== 'string' || value === '') throw new Error(`the answer of ${from} has no ${name}`)
  return value
}

/** Whole text of a file, trimmed. Rejects with an Error that names the file and the cause. */
export async function readTrimmed(path: string): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'cannot be read'
    throw new Error(`${path}: ${code}`, { cause: error })
  }
  if (text.trim() === '') throw new Error(`${path}: is empty`)
  return text.trim()
}

const HEADER_TEXT = /^[\x21-\x7e]+$/

/** An OAuth token (RFC 6750). expiresAt: epoch ms. */
export function bearer(token: string, expiresAt: number): Obtained {
  if (!HEADER_TEXT.test(token)) throw new Error('the token holds characters that a header cannot carry')
  if (!Number.isFinite(expiresAt)) throw new Error('the token comes without a time of its end')
  return { credential: new FixedCredential('token', ['authorization', `Bearer ${token}`], [token]), expiresAt }
}

/** `access_token` and `expires_in` (s; Azure sends it as text) of RFC 6749 5.1. now: epoch ms, before the call. */
export function bearerOf(fields: Fields, now: number, from: string): Obtained {
  const seconds = Number(fields['expires_in'] ?? Number.NaN)
  return bearer(textField(fields, 'access_token', from), now + seconds * 1000)
}
