// The configuration changes under load: nothing fails, nothing is cut, and a bad file changes nothing.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sim, SimReceived } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'
import { call, chat, open, readAnswer, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { CHAT } from './abuse-kit.ts'

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

/** Both ways of writing down the version of a configuration: a request that mixes two of them shows it. */
const config = (version: number): string => `
server: { log: { level: silent, access: false } }
providers:
  a: { type: openai_compatible, base_url: "${sim.url}", headers: { idempotency-key: "v${version}" } }
models:
  m: a/sim-v${version}
`
const BAD = ['providers:\n  a: { type: openai_compatible, base_url: 5 }\n', 'models:\n  m: nobody/x\n', 'models: [\n']

interface Folder {
  readonly source: string
  put(text: string): void
  remove(): void
}

/** As kubelet does it: a new folder, and `..data` renamed over to it. */
function configMap(first: string): Folder {
  const source = mkdtempSync(join(tmpdir(), 'heddle-configmap-'))
  let generation = 0
  const put = (text: string): void => {
    const name = `..gen_${generation++}`
    mkdirSync(join(source, name))
    writeFileSync(join(source, name, 'heddle.yaml'), text)
    symlinkSync(name, join(source, '..data_tmp'))
    renameSync(join(source, '..data_tmp'), join(source, '..data'))
    if (generation > 2) rmSync(join(source, `..gen_${generation - 3}`), { recursive: true })
  }
  put(first)
  symlinkSync(join('..data', 'heddle.yaml'), join(source, 'heddle.yaml'))
  return { source, put, remove: () => rmSync(source, { recursive: true, force: true }) }
}

interface State {
  readonly config: { readonly hash: string; readonly last_error: string | null }
}
const stateOf = async (adminUrl: string): Promise<State> =>
  (await call(`${adminUrl}/admin/state`)).json() as State & Record<string, unknown>

const SWAPS = 20
const REQUESTS = 10_000
const STREAMS = 200

test(
  '10,000 requests and 200 open streams across 20 swaps, 3 of them bad: none failed, none cut',
  { timeout: 60_000 },
  async () => {
    const map = configMap(config(0))
    const gateway = await startGateway('', { config: map.source })
    const agent = new Agent({ keepAlive: true, maxSockets: 16 })
    const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }] })

    // Each stream outlasts several swaps; which configuration answers it is decided when it begins.
    const streamAgent = new Agent({ maxSockets: Infinity })
    const streamBody = JSON.stringify({
      model: 'a/sim-chat~interval=350',
      stream: true,
      max_tokens: 24,
      messages: [{ role: 'user', content: 'Tell me a long story about weaving, please.' }],
    })
    const streams = Array.from({ length: STREAMS }, () =>
      call(`${gateway.url}${CHAT}`, { body: streamBody, agent: streamAgent }).then(readAnswer),
    )

    let sent = 0
    const phase = { swapping: true }
    const bad: unknown[] = []
    const versions = new Set<string>()
    let last: SimReceived | undefined
    let mixed = 0
    // The simulator keeps the last 1000: this looks often enough to miss none.
    const check = (): void => {
      const fresh = last === undefined ? sim.received.slice() : sim.received.slice(sim.received.indexOf(last) + 1)
      last = fresh.at(-1) ?? last
      for (const entry of fresh) {
        const version = /^sim-(v\d+)$/.exec(entry.model)?.[1]
        if (version === undefined) continue
        versions.add(version)
        if (entry.headers['idempotency-key'] !== version) mixed++
      }
    }
    const client = async (): Promise<void> => {
      while (sent < REQUESTS || phase.swapping) {
        sent++
        const reply = await call(`${gateway.url}${CHAT}`, { body, agent })
        if (reply.status !== 200 || !reply.complete) bad.push(`${reply.status} ${reply.text}`)
      }
    }
    const watch = setInterval(check, 5)
    const clients = Array.from({ length: 16 }, client)

    let good = 0
    for (let i = 1; i <= SWAPS; i++) {
      const isBad = i % 7 === 0 || i === SWAPS - 1
      const before = await stateOf(gateway.adminUrl)
      map.put(isBad ? BAD[Math.floor(i / 7) % BAD.length]! : config(i))
      // Some swaps are found by the watcher, a bad one among them; the others are asked for.
      if (i === 5 || i === 10 || i === 14)
        await until(
          async () =>
            (await stateOf(gateway.adminUrl)).config[isBad ? 'last_error' : 'hash'] !==
            before.config[isBad ? 'last_error' : 'hash'],
          8000,
        )
      else expect((await call(`${gateway.adminUrl}/admin/reload`, { method: 'POST' })).status).toBe(isBad ? 422 : 200)
      const after = await stateOf(gateway.adminUrl)
      if (isBad) {
        expect(after.config.hash).toBe(before.config.hash)
        expect(after.config.last_error).toMatch(/heddle\.yaml:\d+:\d+/)
      } else {
        good++
        expect(after.config.hash).not.toBe(before.config.hash)
        expect(after.config.last_error).toBeNull()
      }
    }
    phase.swapping = false
    await Promise.all(clients)
    clearInterval(watch)
    check()
    const answers = await Promise.all(streams)
    expect(bad).toEqual([])
    expect(answers.filter((a) => !a.done || a.error !== undefined)).toEqual([])
    expect(sent).toBeGreaterThanOrEqual(REQUESTS)
    expect(good).toBe(SWAPS - 3)
    expect(mixed).toBe(0)
    expect(versions.size).toBeGreaterThan(10)
    expect(await gateway.metric('heddle_config_reloads_total', { result: 'refused' })).toBeGreaterThanOrEqual(3)
    expect(await gateway.metric('heddle_config_reloads_total', { result: 'loaded' })).toBeGreaterThanOrEqual(SWAPS - 3)
    expect(await gateway.metric('heddle_config_stale')).toBe(0)
    expect(await gateway.stop()).toBe(0)
    agent.destroy()
    streamAgent.destroy()
    map.remove()
  },
)

describe('one change', () => {
  test('what a request began with stays its own; the next request has the new one', async () => {
    const map = configMap(config(1))
    const gateway = await startGateway('', { config: map.source })
    const slow = chat(gateway.url, 'a/x~delay_headers=600')
    await until(() => sim.stats().inFlight > 0)
    map.put(`
server: { log: { level: silent, access: false } }
providers: { b: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: b/other }
`)
    expect((await call(`${gateway.adminUrl}/admin/reload`, { method: 'POST' })).status).toBe(200)
    expect((await chat(gateway.url, 'a/x')).status).toBe(404)
    expect((await chat(gateway.url, 'm')).headers['x-heddle-target']).toBe('b/other')
    expect((await slow).status).toBe(200)
    await gateway.stop()
    map.remove()
  })

  test('a source that is away for a moment changes nothing', async () => {
    const map = configMap(config(1))
    const gateway = await startGateway('', { config: map.source })
    renameSync(join(map.source, '..data'), join(map.source, '..away'))
    expect((await call(`${gateway.adminUrl}/admin/reload`, { method: 'POST' })).status).toBe(422)
    expect(await gateway.metric('heddle_config_stale')).toBe(1)
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    renameSync(join(map.source, '..away'), join(map.source, '..data'))
    expect((await call(`${gateway.adminUrl}/admin/reload`, { method: 'POST' })).status).toBe(200)
    expect(await gateway.metric('heddle_config_stale')).toBe(0)
    await gateway.stop()
    map.remove()
  })

  test('a reload that was asked for is not done again by the watcher, taken or refused', async () => {
    const map = configMap(config(1))
    const gateway = await startGateway('', { config: map.source })
    const count = (result: string) => gateway.metric('heddle_config_reloads_total', { result })
    const lookedTwice = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2300))
    for (const [text, status] of [[config(2), 200] as const, [BAD[0]!, 422] as const]) {
      map.put(text)
      expect((await call(`${gateway.adminUrl}/admin/reload`, { method: 'POST' })).status).toBe(status)
      await lookedTwice()
    }
    expect([await count('loaded'), await count('refused')]).toEqual([1, 1])
    map.put(config(3))
    await until(async () => (await count('loaded')) === 2, 8000)
    expect(await gateway.metric('heddle_config_stale')).toBe(0)
    await gateway.stop()
    map.remove()
  })

  test('reloads that come all at once are taken one after the other', async () => {
    const map = configMap(config(1))
    const gateway = await startGateway('', { config: map.source })
    const replies = await Promise.all(
      Array.from({ length: 6 }, () => call(`${gateway.adminUrl}/admin/reload`, { method: 'POST' })),
    )
    expect(replies.map((r) => r.status)).toEqual(Array(6).fill(200))
    const req = open(`${gateway.url}/v1/models`)
    req.on('error', () => {})
    req.destroy()
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    await gateway.stop()
    map.remove()
  })
})
