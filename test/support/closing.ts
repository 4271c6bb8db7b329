import { afterEach } from 'vitest'

/** A list for what tests open: how each is closed. After a test all of it is closed, what was opened last first. */
export function closedAfterEach(): (() => unknown)[] {
  const open: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of open.splice(0).toReversed()) await close()
  })
  return open
}
