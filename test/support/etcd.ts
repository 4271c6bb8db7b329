/** A real etcd of our own for tests, on free ports and with a folder of its own, that can be killed and started again. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export const inPath = (name: string): string | null => {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null
}

export const etcdServer: string | null = inPath('etcd')
if (etcdServer === null)
  process.stderr.write('\n*** No etcd in the PATH: the tests with a real etcd are SKIPPED. ***\n\n')

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

export const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** Looks again and again until it holds; throws what it was, when it does not in time. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await pause(20)
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

export class TestEtcd {
  readonly port: number
  readonly #peer: number
  #folder = mkdtempSync(join(tmpdir(), 'heddle-etcd-'))
  #process: ChildProcess | null = null
  /** Sent with what the test asks itself. */
  token = ''

  constructor(port: number, peer: number) {
    this.port = port
    this.#peer = peer
  }

  static async start(): Promise<TestEtcd> {
    const etcd = new TestEtcd(await freePort(), await freePort())
    await etcd.start()
    return etcd
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const peer = `http://127.0.0.1:${this.#peer}`
    const options = [
      '--data-dir',
      this.#folder,
      '--log-level',
      'fatal',
      '--name',
      'a',
      '--initial-cluster',
      `a=${peer}`,
      '--listen-client-urls',
      this.url,
      '--advertise-client-urls',
      this.url,
      '--listen-peer-urls',
      peer,
      '--initial-advertise-peer-urls',
      peer,
    ]
    this.#process = spawn(etcdServer!, options, { stdio: 'ignore' })
    await until('etcd answers', async () => {
      const answer = await fetch(`${this.url}/health`).catch(() => null)
      return answer !== null && ((await answer.json()) as { health?: string }).health === 'true'
    })
  }

  async call(path: string, body: object): Promise<Record<string, unknown>> {
    const headers = { 'content-type': 'application/json', ...(this.token === '' ? {} : { authorization: this.token }) }
    const answer = await fetch(`${this.url}/v3/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    const json = (await answer.json()) as Record<string, unknown>
    if (answer.status !== 200) throw new Error(`etcd ${path}: ${answer.status} ${JSON.stringify(json)}`)
    return json
  }

  async put(key: string, value: string, lease?: string): Promise<void> {
    await this.call('kv/put', { key: base64(key), value: base64(value), ...(lease === undefined ? {} : { lease }) })
  }

  async delete(key: string): Promise<void> {
    await this.call('kv/deleterange', { key: base64(key) })
  }

  /** Forgets everything before now. */
  async compact(): Promise<void> {
    const { header } = (await this.call('kv/range', { key: base64('x') })) as { header: { revision: string } }
    await this.call('kv/compaction', { revision: header.revision, physical: true })
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const child = this.#process
    if (child === null) return
    this.#process = null
    const gone = new Promise((resolve) => void child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  /** As after the loss of its disk. */
  async wipe(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
    this.#folder = mkdtempSync(join(tmpdir(), 'heddle-etcd-'))
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
