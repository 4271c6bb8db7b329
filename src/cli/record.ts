import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { EXIT, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { Io } from './io.ts'
import { startRecorder } from './record-proxy.ts'

const originOf = (text: string | undefined): URL => {
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new UsageError('`heddle record` needs the URL of an API, such as `https://api.anthropic.com`')
  return url
}

const portOf = (text: string | undefined): number => {
  const port = Number(text ?? 8095)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UsageError('`--port` must be a number up to 65535')
  return port
}

/** `heddle record URL`: stands between a client and a real API, and writes each call to a file. */
export async function recordCommand(args: ParsedArgs, io: Io): Promise<number> {
  const to = originOf(args.positional[0])
  const folder = resolve(io.cwd, textFlag(COMMANDS.record, args, 'out', io.env) ?? 'recorded')
  mkdirSync(folder, { recursive: true })
  let number = 0
  const recorder = await startRecorder({
    to,
    port: portOf(textFlag(COMMANDS.record, args, 'port', io.env)),
    log: (text) => io.err(`${text}\n`),
    keep: (recording) => {
      const { method, path } = recording.request
      const name = `${String(++number).padStart(3, '0')}-${method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+/g, '-').slice(0, 80)}.json`
      writeFileSync(join(folder, name), `${JSON.stringify(recording, null, 2)}\n`)
      io.out(`${recording.response.status} ${name}\n`)
    },
  })
  io.out(
    `recording ${to.origin} at http://127.0.0.1:${recorder.port} into ${folder}; look through the files before you share them\n`,
  )
  await new Promise<void>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done())
  })
  await recorder.close()
  return EXIT.ok
}
