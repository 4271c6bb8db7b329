import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { userEnv } from './user-env.ts'

const root = join(import.meta.dirname, '..', '..')
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A package laid out as installed, whose command line is the given code. */
const packageWith = (code: string, modules = true): string => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-launcher-'))
  folders.push(folder)
  cpSync(join(root, 'bin'), join(folder, 'bin'), { recursive: true })
  mkdirSync(join(folder, 'dist', 'cli'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'dist', 'cli', 'entry.js'), code)
  if (modules) symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** The Node that a user has: where it is older than what Heddle needs, the launcher has to find the other one. */
const USER_NODE = 'node'
const userMajor = Number.parseInt(
  spawnSync(USER_NODE, ['-p', 'process.versions.node'], { encoding: 'utf8', env: userEnv }).stdout,
  10,
)

const WAITING = `
  process.on('SIGTERM', () => process.exit(7))
  process.on('SIGINT', () => process.exit(8))
  setInterval(() => {}, 1000)
  console.log(process.pid)`

const launch = async (folder: string): Promise<{ launcher: ChildProcess; pid: number }> => {
  const launcher = spawn(USER_NODE, [join(folder, 'bin', 'heddle.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: userEnv,
  })
  const [line] = (await once(launcher.stdout, 'data')) as [Buffer]
  return { launcher, pid: Number(line.toString()) }
}

const isAlive = (pid: number): boolean => {
  // A dead process that nobody waits for is still listed, as a zombie.
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'latin1') : ''
  return stat !== '' && !/\) [ZX] /.test(stat)
}

describe('bin/heddle.mjs', () => {
  test('runs under a Node that is new enough, with its arguments and standard streams', () => {
    const folder = packageWith(`
      let text = ''
      for await (const chunk of process.stdin) text += chunk
      console.log(JSON.stringify([parseInt(process.versions.node), process.argv.slice(2), text]))`)
    const args = [join(folder, 'bin', 'heddle.mjs'), 'serve', '--x=1', 'a b']
    const { stdout, stderr, status } = spawnSync(USER_NODE, args, { input: 'piped', encoding: 'utf8', env: userEnv })
    expect(stderr).toBe('')
    const [major, argv, input] = JSON.parse(stdout) as [number, string[], string]
    expect(major).toBeGreaterThanOrEqual(26)
    expect(argv).toEqual(['serve', '--x=1', 'a b'])
    expect(input).toBe('piped')
    expect(status).toBe(0)
  })

  test('hands on the exit status', () => {
    const folder = packageWith('process.exit(3)')
    expect(spawnSync(USER_NODE, [join(folder, 'bin', 'heddle.mjs')], { env: userEnv }).status).toBe(3)
  })

  test.each([
    ['SIGTERM', 7],
    ['SIGINT', 8],
  ] as const)('forwards %s', async (signal, status) => {
    const { launcher } = await launch(packageWith(WAITING))
    launcher.kill(signal)
    expect(await once(launcher, 'exit')).toEqual([status, null])
  })

  test('dies of the signal that its child died of', async () => {
    const { launcher, pid } = await launch(packageWith(WAITING))
    process.kill(pid, 'SIGKILL')
    expect(await once(launcher, 'exit')).toEqual([null, 'SIGKILL'])
  })

  test('leaves nothing behind when it is killed outright', async () => {
    const { launcher, pid } = await launch(packageWith(WAITING))
    launcher.kill('SIGKILL')
    await once(launcher, 'exit')
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false)
  })

  test('ends when a killed npm start leaves it without a parent', async () => {
    const folder = packageWith(WAITING)
    // What npm does: a shell that waits, with the names of script and package in the environment.
    const command = `node ${join(folder, 'bin', 'heddle.mjs')}; exit $?`
    const env = { ...userEnv, npm_lifecycle_event: 'start', npm_package_name: 'heddle' }
    const shell = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'], env })
    const [line] = (await once(shell.stdout, 'data')) as [Buffer]
    shell.kill('SIGTERM')
    await once(shell, 'exit')
    await expect.poll(() => isAlive(Number(line.toString())), { timeout: 10_000 }).toBe(false)
  })

  test('keeps what it compiled for the next start, inside the package', () => {
    const folder = packageWith('console.log(1)')
    spawnSync(USER_NODE, [join(folder, 'bin', 'heddle.mjs')], { env: userEnv })
    expect(existsSync(join(folder, '.cache'))).toBe(true)
  })

  test.skipIf(userMajor >= 26)('says what is missing when there is no Node to run with', () => {
    const folder = packageWith('console.log(1)', false)
    const { stderr, status } = spawnSync(USER_NODE, [join(folder, 'bin', 'heddle.mjs')], {
      encoding: 'utf8',
      env: userEnv,
    })
    expect(stderr).toMatch(/^heddle: needs Node 26 or newer \(this is v\d+.*npm ci.*\n$/)
    expect(status).toBe(1)
  })
})
