import type { AuthScheme } from '../../contracts/config.ts'
import type { Credential, Credentials } from '../../contracts/credentials.ts'
import type { HeaderList } from '../../contracts/http.ts'

/** The headers that carry a key. A provider that asks for none gets a key that is meant for it as a bearer all the same. */
export function keyHeaders(auth: AuthScheme, key: string): readonly string[] {
  return auth === 'bearer' || auth === 'none' ? ['authorization', `Bearer ${key}`] : [auth, key]
}

/** A credential whose headers do not depend on the request: a key or a token. */
export class FixedCredential implements Credential {
  readonly id: string
  readonly secrets: readonly string[]
  readonly #headers: readonly string[]
  /** The lists of a configuration with these headers added: made once, and looked at once by the transport. */
  readonly #signed = new WeakMap<HeaderList, HeaderList>()

  constructor(id: string, headers: readonly string[], secrets: readonly string[]) {
    this.id = id
    this.#headers = headers
    this.secrets = secrets
  }

  sign(headers: HeaderList): HeaderList {
    let signed = this.#signed.get(headers)
    if (signed === undefined) {
      signed = [...headers, ...this.#headers]
      this.#signed.set(headers, signed)
    }
    return signed
  }

  /** The only credential of its provider: what happens to it happens to the target. */
  busy(until: number, _now: number, _target: string): number {
    return until
  }
  dead(until: number, _now: number, _target: string): number {
    return until
  }
}

/** One key for all. */
export class SingleKey implements Credentials {
  readonly #credential: FixedCredential

  constructor(auth: AuthScheme, key: string) {
    this.#credential = new FixedCredential('key', keyHeaders(auth, key), [key])
  }
  choose(): Credential {
    return this.#credential
  }
  close(): void {}
}

/** For a provider that asks for nothing, where some tenants have keys of their own. */
export class NoKey implements Credentials {
  readonly #credential = new FixedCredential('none', [], [])
  choose(): Credential {
    return this.#credential
  }
  close(): void {}
}
