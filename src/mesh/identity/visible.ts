import type { HeaderGate, PeerSource } from '../../contracts/identity.ts'
import type { IdentityRules } from './rules.ts'
import { L5D_CLIENT_ID, XFCC } from './peer-header.ts'

/** What a header is to those who must not believe what callers say of themselves. */
const HARMLESS = 0
/** Written by the own mesh's proxy for its own ends: shown only when such a proxy wrote it. */
const OF_PROXY = 1
/** Says who calls, or steers a proxy: never shown. */
const HIDDEN = 2
type Sort = typeof HARMLESS | typeof OF_PROXY | typeof HIDDEN

/** Hidden whatever is configured: identities of callers, and orders to proxies where to send a request. */
const ALWAYS: readonly string[] = [
  XFCC,
  L5D_CLIENT_ID,
  'x-jwt-payload',
  'l5d-dst-override',
  'x-envoy-original-dst-host',
]
const PREFIXES: readonly string[] = ['x-envoy-', 'l5d-', 'x-gateway-', 'x-llm-d-']

/** Which proxy's own headers may be shown, by the header in which it names callers. */
const OWN_PREFIX: ReadonlyMap<string, string> = new Map([
  [XFCC, 'x-envoy-'],
  [L5D_CLIENT_ID, 'l5d-'],
])

type NamesOfHeaders = Pick<IdentityRules, 'header' | 'payloadHeader' | 'claimHeaders'>

/** Compiled once a configuration; most names cost one look at their first letter. Never throws. */
export class VisibleHeaders implements HeaderGate {
  readonly #exact: ReadonlySet<string>
  readonly #ownPrefix: string | null
  readonly #believes: (from: PeerSource) => boolean
  /** By the code of the first letter: no hidden header begins so. */
  readonly #harmless = new Uint8Array(128).fill(1)

  /** believes: whether a request comes from the own mesh's proxy. */
  constructor({ header, payloadHeader, claimHeaders }: NamesOfHeaders, believes: (from: PeerSource) => boolean) {
    const configured = [header, payloadHeader, ...Object.values(claimHeaders)]
    this.#exact = new Set([...ALWAYS, ...configured.filter((name) => name !== null)])
    this.#ownPrefix = header === null ? null : (OWN_PREFIX.get(header) ?? null)
    this.#believes = believes
    for (const name of [...this.#exact, ...PREFIXES]) this.#harmless[name.charCodeAt(0)] = 0
  }

  shows(name: string, from: PeerSource): boolean {
    if (this.#harmless[name.charCodeAt(0)] === 1) return true
    const sort = this.#sortOf(name)
    return sort === HARMLESS || (sort === OF_PROXY && this.#believes(from))
  }

  visible(
    all: Readonly<Record<string, string | string[] | undefined>>,
    from: PeerSource,
  ): Readonly<Record<string, string | string[] | undefined>> {
    let hidden = false
    for (const name in all) if (!this.shows(name, from)) hidden = true
    if (!hidden) return all
    const shown = Object.create(null) as Record<string, string | string[] | undefined>
    for (const name in all) if (this.shows(name, from)) shown[name] = all[name]
    return shown
  }

  #sortOf(name: string): Sort {
    if (this.#exact.has(name)) return HIDDEN
    for (const prefix of PREFIXES) if (name.startsWith(prefix)) return prefix === this.#ownPrefix ? OF_PROXY : HIDDEN
    return HARMLESS
  }
}

/** Where nothing is configured: nobody is believed. */
export const CLOSED_HEADERS: HeaderGate = new VisibleHeaders(
  { header: null, payloadHeader: null, claimHeaders: {} },
  () => false,
)
