/** Resolves after ms. keepAlive: the process waits for it. */
export function sleep(ms: number, keepAlive = true): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    if (!keepAlive) timer.unref()
  })
}

/** The promise's value, or null when it takes longer than ms. Rejects when the promise does so in time. */
export function atMost<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
