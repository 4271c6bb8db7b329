/** Carries a script out on a socket. */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { constants, createGzip } from 'node:zlib'
import type { Answer } from './answer.ts'
import type { FaultSet } from './faults.ts'
import { faultNumber } from './faults.ts'
import type { Script, Step } from './script.ts'
import { CLOSE_AND_NAME, KEEP_AND_NAME, scriptFor } from './script.ts'

/** One open answer. `ownClose` tells a close that a fault ordered from one by the peer. */
export interface Open {
  readonly res: ServerResponse
  ownClose: boolean
}

/** Long enough for the kernel to hand over what was written before a reset throws the rest away. */
const BEFORE_RESET_MS = 15

/** @returns false if the connection closed meanwhile. */
const pause = (res: ServerResponse, ms: number): Promise<boolean> =>
  new Promise((resolve) => {
    if (res.destroyed || res.closed) return resolve(false)
    const closed = (): void => {
      clearTimeout(timer)
      resolve(false)
    }
    const timer = setTimeout(() => {
      res.off('close', closed)
      resolve(true)
    }, ms)
    res.once('close', closed)
  })

const untilClosed = (res: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    if (res.destroyed || res.closed) return resolve()
    res.once('close', () => resolve())
  })

const drained = (res: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done)
      res.off('close', done)
      resolve()
    }
    res.once('drain', done)
    res.once('close', done)
  })

export const resetConnection = (open: Open): void => {
  open.ownClose = true
  open.res.socket?.resetAndDestroy()
}

/** Connection-level faults. @returns whether the answer is still wanted. */
export const beforeAnswer = async (open: Open, faults: FaultSet): Promise<boolean> => {
  const { res } = open
  if (faults.has('refuse')) {
    open.ownClose = true
    res.socket?.destroy()
    return false
  }
  if (faults.has('reset_before_headers')) {
    resetConnection(open)
    return false
  }
  const delay = faultNumber(faults, 'delay_headers')
  if (delay !== undefined && !(await pause(res, delay))) return false
  if (faults.has('stall')) {
    await untilClosed(res)
    return false
  }
  for (let i = faultNumber(faults, 'early_hints') ?? 0; i > 0; i--)
    res.writeEarlyHints({ link: `</hint-${i}>; rel=preload` })
  if (faults.has('switching')) res.writeProcessing()
  return !res.destroyed
}

/** What may follow a complete answer by mistake or malice: a client that reuses the connection must not take it as one. */
const SURPLUS_BODY = '{"surplus":true}'
const SURPLUS = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${SURPLUS_BODY.length}\r\n\r\n${SURPLUS_BODY}`

const finish = (res: ServerResponse, faults: FaultSet, last?: Buffer | string): void => {
  const { socket } = res
  if (last === undefined) res.end()
  else res.end(last)
  if (faults.has('surplus_bytes')) socket?.write(SURPLUS)
}

type Write = (bytes: Buffer | string) => Promise<void> | undefined

const plainWriter =
  (res: ServerResponse): Write =>
  (bytes) =>
    res.write(bytes) ? undefined : drained(res)

const gzipWriter = (res: ServerResponse): { write: Write; end: () => Promise<void> } => {
  const gzip = createGzip()
  gzip.on('data', (chunk: Buffer) => res.write(chunk))
  return {
    write: (bytes) =>
      new Promise((resolve) => {
        gzip.write(bytes)
        gzip.flush(constants.Z_SYNC_FLUSH, () => resolve())
      }),
    end: () =>
      new Promise((resolve) => {
        gzip.once('end', () => resolve())
        gzip.end()
      }),
  }
}

const runSteps = async (open: Open, steps: readonly Step[], write: Write): Promise<boolean> => {
  const { res } = open
  for (const step of steps) {
    if (res.destroyed) return false
    if (step.do === 'write') {
      const wait = write(step.bytes)
      if (wait !== undefined) await wait
    } else if (step.do === 'wait') {
      // Without this the headers would wait for the first write.
      res.flushHeaders()
      if (!(await pause(res, step.ms))) return false
    } else if (step.do === 'stall') {
      await untilClosed(res)
      return false
    } else {
      if (await pause(res, BEFORE_RESET_MS)) resetConnection(open)
      return false
    }
  }
  return !res.destroyed
}

const run = async (open: Open, script: Script, faults: FaultSet): Promise<void> => {
  const { res } = open
  const [only] = script.steps
  if (script.steps.length === 1 && only?.do === 'write' && !script.gzipChunks) return finish(res, faults, only.bytes)
  if (!script.gzipChunks) {
    if (await runSteps(open, script.steps, plainWriter(res))) finish(res, faults)
    return
  }
  const gzip = gzipWriter(res)
  if (!(await runSteps(open, script.steps, gzip.write))) return
  await gzip.end()
  finish(res, faults)
}

export const deliver = (
  open: Open,
  answer: Answer,
  faults: FaultSet,
  headers: Readonly<Record<string, string>>,
): Promise<void> => {
  const script = scriptFor(answer, faults)
  const sent: OutgoingHttpHeaders = { ...headers, ...script.headers }
  // A Connection header of one's own switches keep-alive on in node:http, even if the peer asked to close.
  if (sent.connection === KEEP_AND_NAME && !open.res.shouldKeepAlive) sent.connection = CLOSE_AND_NAME
  open.res.writeHead(script.status, sent)
  return run(open, script, faults)
}
