import type { CertificateReader, Svid, SvidConfig } from '../../contracts/config-svid.ts'
import type { Clock } from '../../core/clock.ts'
import { atMost } from '../../core/sleep.ts'
import { checkSvid, type Material, type SvidFault, type SvidReason } from './material.ts'
import type { StartSource } from './source.ts'

export interface KeeperParts {
  readonly clock: Clock
  readonly read: CertificateReader
  readonly log: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  /** first: none was there before it. */
  readonly taken: (svid: Svid, first: boolean) => void
  readonly failed: (reason: SvidReason) => void
}

/** Loaded when it is configured. */
async function sourceOf(config: SvidConfig, clock: Clock): Promise<StartSource> {
  switch (config.source) {
    case 'files':
      return (await import('./files.ts')).startFiles(config, { clock })
    case 'istio-sds':
      return (await import('./istio-sds.ts')).startIstioSds(config)
    case 'spiffe':
      return (await import('./spiffe.ts')).startSpiffe(config)
  }
}

const sameBundles = (a: Svid['bundles'], b: Svid['bundles']): boolean =>
  Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([domain, pem]) => b[domain] === pem)

/** Follows the configured source. The last good SVID stays until a better one is there, whatever the source says. */
export class SvidKeeper {
  readonly #parts: KeeperParts
  #svid: Svid | null = null
  #config = 'null'
  #stop: () => void = () => {}
  #stopped = false
  readonly #first = Promise.withResolvers<true>()
  /** The last one that was told: a source that is away says so again and again. */
  #told = ''

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  /** Null = none has come yet. */
  get svid(): Svid | null {
    return this.#svid
  }

  /** Follows that source from now on, if it is another one; null = none. */
  async use(config: SvidConfig | null): Promise<void> {
    const text = JSON.stringify(config)
    if (text === this.#config || this.#stopped) return
    this.#config = text
    this.#stop()
    this.#stop = () => {}
    this.#told = ''
    if (config === null) return
    const start = await sourceOf(config, this.#parts.clock)
    // Another one may have been asked for meanwhile.
    if (text !== this.#config || this.#stopped) return
    const current = (): boolean => text === this.#config && !this.#stopped
    this.#stop = start({
      offer: (material) => {
        if (current()) this.#offer(material, config.source)
      },
      fault: (fault) => {
        if (current()) this.#fault(fault, config.source)
      },
    })
  }

  /** Waits for the first one. False = it has not come within maxMs. */
  async first(maxMs: number): Promise<boolean> {
    return this.#svid !== null || (await atMost(maxMs, this.#first.promise)) === true
  }

  #offer(material: Material, source: string): void {
    const { read, clock, log, taken } = this.#parts
    const svid = checkSvid(material, read, clock.now())
    const before = this.#svid
    this.#told = ''
    if (before !== null && before.cert === svid.cert && sameBundles(before.bundles, svid.bundles)) return
    this.#svid = svid
    const facts = { id: svid.id, serial: svid.serial, expires: new Date(svid.notAfter).toISOString(), source }
    log('info', facts, before === null ? 'certificate of this workload' : 'certificate of this workload renewed')
    taken(svid, before === null)
    this.#first.resolve(true)
  }

  #fault(fault: SvidFault, source: string): void {
    this.#parts.failed(fault.reason)
    const told = `${fault.reason} ${fault.message}`
    if (told === this.#told) return
    this.#told = told
    const kept = this.#svid === null ? 'there is none' : 'the last one stays'
    const facts = { source, reason: fault.reason, error: fault.message }
    this.#parts.log('warn', facts, `no certificate of this workload from its source, ${kept}`)
  }

  stop(): void {
    this.#stopped = true
    this.#stop()
  }
}
