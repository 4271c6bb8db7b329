// `heddle serve` as a process of its own, as a supervisor would start it.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { userEnv } from '../architecture/user-env.ts'

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/heddle', import.meta.url))
const LAUNCHER = fileURLToPath(new URL('../../bin/heddle.mjs', import.meta.url))
const ENTRY = fileURLToPath(new URL('../../src/cli/entry.ts', import.meta.url))

export interface Heddle {
  readonly child: ChildProcess
  readonly url: string
  readonly adminUrl: string
  readonly file: string
  output(): string
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string | null>
  kill(signal: NodeJS.Signals): void
  dispose(): Promise<void>
}

const NO_KEYS = /_API_KEY$|_BASE_URL$|^HEDDLE_|OLLAMA|VLLM/

/**
 * Resolves when it listens, or when it has ended (then url is empty). yaml null = zero configuration. launcher = as a user
 * starts it: bin/heddle.mjs under the Node of the user's shell, which may be too old to run Heddle itself. more: variables
 * of its environment.
 */
export async function startHeddle(
  yaml: string | null,
  args: readonly string[] = ['--port', '0', '--admin-port', '0'],
  how: 'entry' | 'launcher' = 'entry',
  more: Readonly<Record<string, string>> = {},
): Promise<Heddle> {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-process-'))
  const file = join(folder, 'heddle.yaml')
  if (yaml !== null) writeFileSync(file, yaml)
  const inherited = Object.entries(how === 'launcher' ? userEnv : process.env).filter(([name]) => !NO_KEYS.test(name))
  // As the launcher does: without it each start would compile everything again.
  const env = { ...Object.fromEntries(inherited), ...more, NODE_COMPILE_CACHE: CACHE }
  const [node, script] = how === 'launcher' ? ['node', LAUNCHER] : [process.execPath, ENTRY]
  const child = spawn(node, [script, 'serve', ...(yaml === null ? [] : ['--config', file]), ...args], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  const exited = new Promise<number | string | null>((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? signal)),
  )
  const url = (name: string): string => new RegExp(`^${name}\\s+(http://\\S+?)(?:/v1)?$`, 'm').exec(text)?.[1] ?? ''
  const listening = new Promise<void>((resolve) => {
    const take = (chunk: Buffer): void => {
      text += chunk.toString()
      if (url('Admin') !== '') resolve()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
  })
  await Promise.race([listening, exited])
  return {
    child,
    url: url('API'),
    adminUrl: url('Admin'),
    file,
    output: () => text,
    exited,
    kill: (signal) => void child.kill(signal),
    dispose: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
