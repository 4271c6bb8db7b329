export interface Obedient {
  stop(): Promise<unknown>
  reload(): Promise<unknown>
}

/** SIGTERM and SIGINT end the process, SIGHUP reads the configuration again: once it has started, if that is under way. */
export function obeySignals(starting: Promise<Obedient>): void {
  let ending = false
  const end = (): void => {
    // A second signal while draining: the operator will not wait.
    if (ending) process.exit(1)
    ending = true
    starting
      .then((server) => server.stop())
      .then(
        () => process.exit(process.exitCode ?? 0),
        () => process.exit(1),
      )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  // Who has started it tells of a start that failed.
  process.on('SIGHUP', () => void starting.then((server) => server.reload()).catch(() => {}))
}
