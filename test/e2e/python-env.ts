/** Virtual environments for the Python clients, made once and kept below test/.cache. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const CACHE = fileURLToPath(new URL('../.cache/', import.meta.url))

export interface Finished {
  readonly code: number
  readonly output: string
}

/** Both streams of the child as one text. */
export const run = (
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Finished> =>
  new Promise((resolve) => {
    const child = spawn(command, args, { cwd: HERE, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const note = (chunk: Buffer): void => void (output += chunk.toString())
    child.stdout.on('data', note)
    child.stderr.on('data', note)
    child.on('error', (error) => resolve({ code: 127, output: error.message }))
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })

/** `python` of the environment, or why there is none. */
export type PythonEnv = { readonly python: string } | { readonly missing: string }

/** The first that is there and in the range. Versions are `3.MINOR`. */
const findPython = async (low: number, high: number): Promise<string | undefined> => {
  const minors = [11, 12, 13, 10, 9, 14].filter((minor) => minor >= low && minor <= high)
  const names = [...minors.map((minor) => `python3.${minor}`), 'python3', 'python']
  for (const name of names) {
    const { code, output } = await run(name, ['-c', 'import sys; print(sys.version_info[0], sys.version_info[1])'])
    const [major, minor] = output.trim().split(' ').map(Number)
    if (code === 0 && major === 3 && minor !== undefined && minor >= low && minor <= high) return name
  }
  return undefined
}

const loud = (name: string, reason: string): PythonEnv => {
  process.stderr.write(
    `\n*** e2e: the Python environment '${name}' cannot be made, its tests are SKIPPED: ${reason}\n\n`,
  )
  return { missing: reason }
}

/** @param name of `requirements-NAME.txt`. @param low @param high minor versions of Python 3 that the packages need. */
export const pythonEnv = async (name: string, low: number, high: number): Promise<PythonEnv> => {
  const requirements = join(HERE, `requirements-${name}.txt`)
  const hash = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12)
  const folder = join(CACHE, `py-${name}-${hash}`)
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  const ready = join(folder, '.ready')
  if (existsSync(ready) && existsSync(python)) return { python }
  const base = await findPython(low, high)
  if (base === undefined) return loud(name, `no Python from 3.${low} to 3.${high}`)
  await rm(folder, { recursive: true, force: true })
  await mkdir(CACHE, { recursive: true })
  const made = await run(base, ['-m', 'venv', folder])
  if (made.code !== 0) return loud(name, made.output.slice(-1_000))
  const installed = await run(python, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--requirement',
    requirements,
  ])
  if (installed.code !== 0) return loud(name, installed.output.slice(-2_000))
  await writeFile(ready, '')
  return { python }
}

/** For the clients under test: nothing of the caller's own OpenAI settings, no bytecode in the source folder. */
export const clientEnv = (changes: Readonly<Record<string, string>>): NodeJS.ProcessEnv => {
  const foreign = /^OPENAI_|^AZURE_|^LANGCHAIN_|^LANGSMITH_|^HEDDLE_|^PYTHON|_proxy$/i
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  return { ...Object.fromEntries(kept), PYTHONDONTWRITEBYTECODE: '1', NO_PROXY: '127.0.0.1', ...changes }
}
