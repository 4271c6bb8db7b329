import { constants, fstatSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'
import type { LineTarget } from './line-writer.ts'
import { LineWriter } from './line-writer.ts'

const STDOUT = 1

interface BlockingHandle {
  setBlocking(blocking: boolean): number
}

/**
 * A descriptor of standard output whose writes never block: Node puts pipes and sockets into blocking mode, and a reader
 * that has stopped would then hold up a thread, and with it the end of the process. A pipe is opened a second time, so
 * that whoever else writes to it keeps the mode it knows; of a socket (systemd's journal) the mode is changed. Files
 * and terminals are taken as they are.
 */
function logOutput(shared: boolean): LineTarget {
  try {
    const stat = fstatSync(STDOUT)
    // One write to a file is whole whatever its length.
    if (stat.isFile()) return { fd: STDOUT, nonBlocking: false, shared: false }
    if (stat.isFIFO())
      return { fd: openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK), nonBlocking: true, shared }
    // /dev/null and its like.
    if (stat.isCharacterDevice() && !isatty(STDOUT)) return { fd: STDOUT, nonBlocking: true, shared: false }
    // Worker threads have no handle of their own; the main thread has done it for them.
    if (stat.isSocket())
      (process.stdout as unknown as { readonly _handle?: BlockingHandle })._handle?.setBlocking(false)
  } catch {
    // No such files on this system: then as it is.
  }
  return { fd: STDOUT, nonBlocking: false, shared }
}

let writer: LineWriter | null = null

/** The writer of this thread: one for all that it writes, or lines would mix. shared: other threads write as well. */
export function logWriter(shared: boolean): LineWriter {
  writer ??= new LineWriter(logOutput(shared))
  return writer
}
