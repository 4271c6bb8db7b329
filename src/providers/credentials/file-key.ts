import { readFileSync, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { AuthScheme } from '../../contracts/config.ts'
import { ONLY_THIS, type Credential, type Credentials } from '../../contracts/credentials.ts'
import { GatewayError } from '../../core/errors.ts'
import { FixedCredential, keyHeaders } from './fixed.ts'
import { Rests } from './rests.ts'
import type { CredentialParts } from './share.ts'

const POLL_MS = 1000
const MAX_BYTES = 64 * 1024
const KEY = /^[\x21-\x7e]+$/

class FileKeyValue extends FixedCredential {
  readonly rests = new Rests()

  /** The key of the file is refused, not the target: the next key in the file is used at once. */
  override dead(until: number, _now: number, target: string): number {
    this.rests.set('refused', until, target)
    return ONLY_THIS
  }
}

/** A key in a file, looked at once a second and read again when it has changed; requests never touch the disk. */
export class FileKey implements Credentials {
  readonly #path: string
  readonly #auth: AuthScheme
  readonly #parts: CredentialParts
  readonly #stop: () => void
  #key: FileKeyValue | null = null
  #value = ''
  #seen = ''
  #looking = false
  #problem = ''

  /** Reads the file at once, synchronously: it runs where configurations are compiled. */
  constructor(path: string, auth: AuthScheme, parts: CredentialParts) {
    this.#path = path
    this.#auth = auth
    this.#parts = parts
    try {
      this.#seen = stamp(statSync(path))
      this.#take(readFileSync(path, 'utf8'))
    } catch (error) {
      this.#complain(error)
    }
    this.#stop = parts.every(() => void this.look(), POLL_MS)
  }

  choose(_tenant: string, now: number, target: string): Credential {
    const key = this.#key
    if (key === null)
      throw new GatewayError('upstream_auth', 'The gateway has no key for the provider.', {
        retryAfterMs: POLL_MS,
        detail: `${this.#path}: ${this.#problem}`,
      })
    const until = key.rests.until(target)
    if (until > now)
      throw new GatewayError('upstream_auth', 'The provider refused the gateway.', {
        retryAfterMs: until - now,
        detail: `the key in ${this.#path} was refused`,
      })
    return key
  }

  /** Reads the file if it has changed. The poll calls it. */
  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      const seen = stamp(await stat(this.#path))
      if (seen === this.#seen && this.#problem === '') return
      this.#take(await readFile(this.#path, 'utf8'))
      this.#seen = seen
    } catch (error) {
      this.#complain(error)
    } finally {
      this.#looking = false
    }
  }

  #take(text: string): void {
    const value = text.trim()
    if (text.length > MAX_BYTES || !KEY.test(value)) throw new Error('holds no key')
    this.#problem = ''
    if (value === this.#value) return
    if (this.#value !== '') this.#parts.log('info', { file: this.#path }, 'key read again')
    this.#value = value
    this.#key = new FileKeyValue('file', keyHeaders(this.#auth, value), [value])
  }

  /** Once for each problem; the last good key stays in use. */
  #complain(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'holds no key'
    if (code !== this.#problem)
      this.#parts.log('error', { file: this.#path, cause: code }, 'the key file cannot be used')
    this.#problem = code
  }

  close(): void {
    this.#stop()
  }
}

/** A mounted secret is replaced by another file under the same name: time and size alone would not tell. */
const stamp = (stats: { mtimeMs: number; size: number; ino: number }): string =>
  `${stats.mtimeMs} ${stats.size} ${stats.ino}`
