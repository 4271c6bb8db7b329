import type { Ports } from './messages.ts'
import type { LoadedConfig } from '../config/index.ts'

export interface RunningServer {
  readonly url: string
  readonly tlsUrl: string | null
  readonly adminUrl: string
  /** Those that are listened on. */
  readonly ports: Ports
  /** Reads the configuration again now. Resolves with whether it was taken. */
  reload(): Promise<boolean>
  /** Drains and ends everything. Resolves with the number of requests that were cut. */
  stop(): Promise<number>
}

export interface ServeHooks {
  /** Obey SIGTERM, SIGINT and SIGHUP; default true. */
  readonly signals?: boolean
  /** No banner. */
  readonly quiet?: boolean
  /** The configuration, if it is being read already. */
  readonly loading?: Promise<LoadedConfig>
}
