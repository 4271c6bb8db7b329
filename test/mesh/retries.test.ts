// Section "Timeouts, retries, outliers" of the mesh's acceptance checks, each test named by its number.
import { describe, expect, test } from 'vitest'
import type { ServerResponse } from 'node:http'
import type { Backend, Script } from '../support/backend.ts'
import type { Gateway } from '../support/gateway.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, chat, open, headOf, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'
import { envoy } from './kit/binary.ts'
import type { EnvoyOptions, RunningEnvoy } from './kit/envoy.ts'
import { startEnvoy } from './kit/envoy.ts'
import type { Proxy } from './kit/proxy.ts'

const closers = closedAfterEach()

const backend = async (script: Script): Promise<Backend> => {
  const made = await startBackend(script)
  closers.push(() => made.close())
  return made
}
const portOf = (url: string): number => Number(new URL(url).port)
const proxy = async (proxies: readonly Proxy[], options?: EnvoyOptions): Promise<RunningEnvoy> => {
  const made = await startEnvoy(proxies, options)
  closers.push(() => made.stop())
  return made
}

const QUIET = 'log: { level: silent, access: false }, drain: { propagation: 0 }'
const SERVER = `server: { ${QUIET} }`

/** In Istio, with a provider for each URL and one model over all of them, in order. */
const gateway = async (urls: readonly string[], more = '', kind = 'istio'): Promise<Gateway> => {
  const providers = urls.map((url, i) => `  p${i}: { type: openai_compatible, base_url: "${url}", class: mesh }`)
  const targets = urls.map((_, i) => `{ provider: p${i}, model: m, priority: ${i} }`)
  const made = await startGateway(`${SERVER}
mesh: { kind: ${kind}, wait_for_proxy: 0 }
providers:
${providers.join('\n')}
models: { m: { targets: [${targets.join(', ')}] } }
${more}`)
  closers.push(() => made.stop())
  return made
}

const QUICK = 'defaults: { retries: { backoff: { base: 1ms, max: 5ms } } }'
const failing: Script = (res) => sendJson(res, 500, { error: { message: 'broken', type: 'server_error' } })
const answering: Script = (res) => sendJson(res, 200, CHAT_ANSWER)
const RETRYING = { on: '5xx', attempts: 2 } as const
const event = (res: ServerResponse, text: string): boolean =>
  res.write(`data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content: text } }] })}\n\n`)

describe.skipIf(envoy === null)('timeouts, retries, outliers', () => {
  test('AC-RT-1: a final answer is asked for once, however many proxies retry in front (9 become 1)', async () => {
    const provider = await backend(failing)
    const counts = async (mesh: string): Promise<readonly number[]> => {
      const before = provider.times.length
      // One attempt of its own, so that what is counted is what the proxies make of it.
      const heddle = await gateway([provider.url], `defaults: { retries: { max_attempts: 1 } }`, mesh)
      let received = 0
      const front = await proxy([
        { name: 'inner', to: [heddle.port], direction: 'inbound', retry: RETRYING, action: {} },
      ])
      const outer = await proxy([{ name: 'outer', to: [front.port('inner')], direction: 'outbound', retry: RETRYING }])
      const reply = await chat(outer.url('outer'), 'm')
      expect(reply.status).toBeGreaterThanOrEqual(424)
      received = await heddle.metric('heddle_requests_total')
      return [received, provider.times.length - before]
    }
    expect(await counts('none')).toEqual([9, 9])
    expect(await counts('istio')).toEqual([1, 1])
  })

  test('AC-RT-1: the veto alone does it too, where 5xx are passed on', async () => {
    const provider = await backend(failing)
    const heddle = await gateway([provider.url], `defaults: { retries: { max_attempts: 1 } }\n`)
    await heddle.reload(`${SERVER}
mesh: { kind: istio, wait_for_proxy: 0, provider_failure: passthrough }
providers: { p: { type: openai_compatible, base_url: "${provider.url}" } }
models: { m: p/m }
defaults: { retries: { max_attempts: 1 } }`)
    const front = await proxy([{ name: 'in', to: [heddle.port], direction: 'inbound', retry: RETRYING }])
    const reply = await call(`${front.url('in')}/v1/chat/completions`, { body: { model: 'm', messages: [] } })
    expect([reply.status, provider.times.length]).toEqual([502, 1])
    expect(reply.headers['x-should-retry']).toBe('false')
  })

  test('AC-RT-2: five failures of a provider eject no gateway, and the next call is served', async () => {
    let broken = true
    const provider = await backend((res, n, req, body) => (broken ? failing : answering)(res, n, req, body))
    const ejections = async (mesh: string): Promise<readonly (number | string)[]> => {
      broken = true
      const heddle = await gateway(
        [provider.url],
        'defaults: { retries: { max_attempts: 1 }, breaker: { enabled: false } }',
        mesh,
      )
      const front = await proxy([{ name: 'in', to: [heddle.port], direction: 'outbound', outlier: 5 }])
      const statuses: number[] = []
      for (let i = 0; i < 5; i++) statuses.push((await chat(front.url('in'), 'm')).status)
      const failed = await chat(front.url('in'), 'm')
      broken = false
      const ejected = await front.stat('cluster.in.outlier_detection.ejections_active')
      const { status, headers } = await chat(front.url('in'), 'm')
      return [
        ...new Set(statuses),
        failed.error?.code ?? failed.raw.slice(0, 19),
        ejected,
        status,
        String(headers['x-llm-error-origin']),
      ]
    }
    expect(await ejections('none')).toEqual([502, 'no healthy upstream', 1, 503, 'undefined'])
    expect(await ejections('istio')).toEqual([424, 'upstream_error', 0, 200, 'undefined'])
    const heddle = await gateway([provider.url], 'defaults: { retries: { max_attempts: 1 } }')
    broken = true
    expect((await chat(heddle.url, 'm')).headers['x-llm-error-origin']).toBe('provider')
  })

  test('AC-RT-3: a full circuit on the way to the first target is failed over at once, and named', async () => {
    const [a, b] = [await backend(answering), await backend(answering)]
    const out = await proxy([{ name: 'a', to: [portOf(a.url)], direction: 'outbound', maxRequests: 0 }])
    const heddle = await gateway(
      [`${out.url('a')}/v1`, b.url],
      'defaults: { retries: { backoff: { base: 10s, max: 10s } } }',
    )
    const reply = await chat(heddle.url, 'm', {}, { 'x-heddle-explain': '1' })
    expect([reply.status, a.times.length, b.times.length]).toEqual([200, 0, 1])
    const explain = JSON.parse(String(reply.headers['x-heddle-explain'])) as { attempts: { result: string }[] }
    expect(explain.attempts.map((attempt) => attempt.result)).toEqual(['mesh_overflow', 'open'])
    // No pause of ten seconds lies between: how long it took is a matter of the machine.
    const timing = /upstream;dur=([\d.]+)/.exec(String(reply.headers['server-timing']))
    process.stdout.write(`failover after overflow: ${timing?.[1]} ms upstream in all\n`)
    expect(Number(timing?.[1])).toBeLessThan(5000)
  })

  test('AC-RT-4: a proxy that cuts a stream: an error event, no [DONE]', async () => {
    const provider = await backend((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      event(res, 'be')
      const timer = setInterval(() => event(res, 'at'), 100)
      res.on('close', () => clearInterval(timer))
    })
    const out = await proxy([{ name: 'out', to: [portOf(provider.url)], direction: 'outbound', timeout: '1s' }])
    const heddle = await gateway([`${out.url('out')}/v1`])
    const reply = await chat(heddle.url, 'm', { stream: true })
    expect(reply.text).toMatch(/^be(at)+$/)
    expect([reply.status, reply.done, reply.error?.code, reply.afterEnd]).toEqual([200, false, 'stream_interrupted', 0])
  })

  test('AC-RT-5: a deadline in a header ends the call, and the backend’s socket', async () => {
    let closed = 0
    const provider = await backend((res) => {
      const timer = setTimeout(() => sendJson(res, 200, CHAT_ANSWER), 5000)
      res.on('close', () => {
        clearTimeout(timer)
        closed = performance.now()
      })
    })
    const heddle = await gateway([provider.url], '', 'none')
    const begun = performance.now()
    const reply = await chat(heddle.url, 'm', {}, { 'x-request-timeout-ms': '800' })
    const took = performance.now() - begun
    expect([reply.status, reply.error?.code]).toEqual([504, 'deadline_exceeded'])
    expect(reply.headers['x-should-retry']).toBe('false')
    process.stdout.write(`deadline of 800 ms: answered after ${took.toFixed(0)} ms\n`)
    // Bounds only against what would be another mechanism: a second deadline, or the backend's answer.
    expect(took).toBeGreaterThan(790)
    expect(took).toBeLessThan(3000)
    await until(() => closed > 0)
    expect(provider.times.length).toBe(1)
  })

  test('AC-RT-6: silences longer than any idle timer of a proxy do not cut a stream', async () => {
    // Idle limit and silence are both scaled by the same factor; HEDDLE_TEST_FULL takes them as they are.
    const long = process.env['HEDDLE_TEST_FULL'] !== undefined
    const [silence, silences, idle, heartbeat] = long ? [60_000, 10, '45s', '15s'] : [600, 4, '0.45s', '150ms']
    const provider = await backend((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      let n = 0
      event(res, 'tick')
      const timer = setInterval(() => {
        event(res, 'tick')
        if (++n < silences) return
        clearInterval(timer)
        res.end('data: [DONE]\n\n')
      }, silence)
      res.on('close', () => clearInterval(timer))
    })
    const heddle = await startGateway(`server: { heartbeat: ${heartbeat}, ${QUIET} }
mesh: { kind: istio, wait_for_proxy: 0 }
providers: { p: { type: openai_compatible, base_url: "${provider.url}" } }
models: { m: p/m }
defaults: { timeouts: { idle: 5m } }`)
    closers.push(() => heddle.stop())
    const front = await proxy([
      { name: 'in', to: [heddle.port], direction: 'inbound', manager: { stream_idle_timeout: idle } },
      { name: 'off', to: [portOf(provider.url)], direction: 'inbound', manager: { stream_idle_timeout: idle } },
    ])
    const reply = await chat(front.url('in'), 'm', { stream: true })
    expect([reply.text, reply.done]).toEqual(['tick'.repeat(silences + 1), true])
    // The same proxy without Heddle in between cuts it.
    const bare = await call(`${front.url('off')}/v1/chat/completions`, { body: { model: 'm' } }).catch(() => null)
    expect(bare?.text ?? '').not.toContain('[DONE]')
  }, 900_000)

  test('a request that comes twice while the first is at work is paid for once, and both get the answer', async () => {
    const waiting: ServerResponse[] = []
    const provider = await backend((res) => waiting.push(res))
    const heddle = await gateway([provider.url])
    const id = '6d2f4c9a-1111-4222-8333-444455556666'
    const ask = (attempt: number, content = 'twice') =>
      call(`${heddle.url}/v1/chat/completions`, {
        body: { model: 'm', messages: [{ role: 'user', content }] },
        headers: { 'x-request-id': id, 'x-envoy-attempt-count': String(attempt) },
      })
    const first = ask(1)
    await until(() => waiting.length === 1)
    const second = ask(2)
    await until(async () => (await heddle.metric('heddle_inflight_requests')) === 2)
    const other = ask(2, 'another body is another request')
    await until(() => waiting.length === 2)
    for (const res of waiting) sendJson(res, 200, CHAT_ANSWER)
    const replies = await Promise.all([first, second, other])
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200])
    expect(replies[0].text).toBe(replies[1].text)
    expect(provider.times.length).toBe(2)
  })

  test('a stream that two tries wait for goes to both, and goes on when the first client leaves', async () => {
    const waiting: ServerResponse[] = []
    const provider = await backend((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.flushHeaders()
      waiting.push(res)
    })
    const heddle = await gateway([provider.url])
    const ask = (attempt: number) =>
      open(`${heddle.url}/v1/chat/completions`, {
        body: { model: 'm', stream: true, messages: [] },
        headers: { 'x-request-id': 'same', 'x-envoy-attempt-count': String(attempt) },
      })
    const first = ask(1)
    first.on('error', () => {})
    await until(() => waiting.length === 1)
    const second = ask(2)
    const reply = headOf(second)
    await until(async () => (await heddle.metric('heddle_inflight_requests')) === 2)
    first.destroy()
    await until(async () => (await heddle.metric('heddle_inflight_requests')) === 1)
    event(waiting[0]!, 'for the second')
    waiting[0]!.end('data: [DONE]\n\n')
    let text = ''
    for await (const chunk of await reply) text += String(chunk)
    expect(text).toContain('for the second')
    expect(text).toContain('[DONE]')
    expect(provider.times.length).toBe(1)
  })

  test('a repeated request is tried on other targets, and not again on the same', async () => {
    const [a, b] = [await backend(failing), await backend(failing)]
    const heddle = await gateway([a.url, b.url], `${QUICK.slice(0, -3)}, max_attempts: 4 } }`)
    const reply = await chat(heddle.url, 'm', {}, { 'x-stainless-retry-count': '1' })
    expect([reply.status, a.times.length, b.times.length]).toEqual([424, 1, 1])
  })

  test('retries.owner mesh: Heddle fails over, and leaves trying again to the mesh', async () => {
    const [a, b] = [await backend(failing), await backend(failing)]
    const heddle = await startGateway(`${SERVER}
mesh: { kind: istio, wait_for_proxy: 0, retries: { owner: mesh } }
providers:
  a: { type: openai_compatible, base_url: "${a.url}" }
  b: { type: openai_compatible, base_url: "${b.url}" }
models: { m: { targets: [{ provider: a, model: m, priority: 0 }, { provider: b, model: m, priority: 1 }] } }
defaults: { retries: { max_attempts: 5, backoff: { base: 1ms, max: 5ms } } }`)
    closers.push(() => heddle.stop())
    await chat(heddle.url, 'm')
    expect([a.times.length, b.times.length]).toEqual([1, 1])
  })

  test('what is left of the deadline goes on to the mesh, and not to vendors; streams are not cut by it', async () => {
    const seen: Record<string, string | undefined>[] = []
    const provider = await backend((res, n, req, body) => {
      seen.push(req.headers as Record<string, string>)
      if (!body.includes('"stream":true')) answering(res, n, req, body)
      else {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        event(res, 'x')
        res.end('data: [DONE]\n\n')
      }
    })
    const heddle = await startGateway(`${SERVER}
mesh: { kind: linkerd, wait_for_proxy: 0, linkerd_headers: true }
providers:
  mesh: { type: openai_compatible, base_url: "${provider.url}", class: mesh }
  vendor: { type: openai_compatible, base_url: "${provider.url}" }
models: { m: mesh/m, v: vendor/m }`)
    closers.push(() => heddle.stop())
    const deadline = { 'x-stainless-timeout': '20' }
    await chat(heddle.url, 'm', {}, deadline)
    await chat(heddle.url, 'm', { stream: true }, deadline)
    await chat(heddle.url, 'v', {}, deadline)
    const names = ['x-envoy-upstream-rq-timeout-ms', 'l5d-request-timeout', 'x-envoy-max-retries', 'l5d-retry-limit']
    const [json, stream, vendor] = seen.map((headers) => names.map((name) => headers[name]))
    expect(Number(json![0])).toBeGreaterThan(15_000)
    // A little more: it is Heddle who says that it is over.
    expect(Number(json![0])).toBeLessThanOrEqual(20_100)
    expect(json!.slice(1)).toEqual([`${json![0]}ms`, '0', '0'])
    expect(stream).toEqual([undefined, undefined, '0', '0'])
    expect(vendor).toEqual([undefined, undefined, undefined, undefined])
  })

  test('every 429 and 503 says when to come back', async () => {
    const provider = await backend((res) => sendJson(res, 429, { error: { message: 'slow down' } }))
    const heddle = await gateway([provider.url], 'defaults: { retries: { max_attempts: 1 } }')
    const reply = await chat(heddle.url, 'm')
    expect([reply.status, reply.headers['retry-after']]).toEqual([429, '1'])
    // Who waits as told may come again.
    expect(reply.headers['x-envoy-ratelimited']).toBeUndefined()
  })
})
