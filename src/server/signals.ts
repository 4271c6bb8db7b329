export interface Obedient {
  ending(): boolean
  end(): Promise<unknown>
  reload(): Promise<unknown>
}

/** SIGTERM and SIGINT end the process, SIGHUP reads the configuration again. */
export function obeySignals(server: Obedient): void {
  const end = (): void => {
    // A second signal while draining: the operator will not wait.
    if (server.ending()) process.exit(1)
    server.end().then(
      () => process.exit(process.exitCode ?? 0),
      () => process.exit(1),
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('SIGHUP', () => void server.reload())
}
