import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import type { Sim, SimClosed, SimOptions } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'

const open: Sim[] = []

const start = async (options: SimOptions = {}): Promise<Sim> => {
  const sim = await startSim(options)
  open.push(sim)
  return sim
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((sim) => sim.close()))
})

const chat = (
  sim: Sim,
  changes: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(`${sim.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'sim-chat', messages: [{ role: 'user', content: 'Hi' }], ...changes }),
  })

const errorOf = async (response: Response): Promise<unknown> => ((await response.json()) as { error: unknown }).error

describe('sim server', () => {
  it('answers the same for the same seed, and its ids never repeat', async () => {
    const [one, two, other] = [await start({ seed: 5 }), await start({ seed: 5 }), await start({ seed: 6 })]
    const ask = async (sim: Sim): Promise<{ id: string; text: string }> => {
      const response = await chat(sim, { messages: [{ role: 'user', content: 'Tell me about looms' }] })
      const body = (await response.json()) as { id: string; choices: { message: { content: string } }[] }
      return { id: body.id, text: body.choices[0]?.message.content ?? '' }
    }
    const answers = [await ask(one), await ask(two), await ask(one), await ask(other)]
    expect(answers[0]?.text).toBe(answers[1]?.text)
    expect(answers[0]?.text).not.toBe(answers[3]?.text)
    expect(new Set(answers.map(({ id }) => id)).size).toBe(4)
  })

  it('checks the key, however it is sent', async () => {
    const sim = await start({ apiKey: 'sk-right' })
    const none = await chat(sim)
    expect(none.status).toBe(401)
    expect(await errorOf(none)).toMatchObject({ type: 'invalid_request_error', param: null, code: null })
    const wrong = await chat(sim, {}, { authorization: 'Bearer sk-wrong-wrong' })
    expect(await errorOf(wrong)).toMatchObject({
      code: 'invalid_api_key',
      message: 'Incorrect API key provided: sk-w****rong.',
    })
    for (const headers of [
      { authorization: 'Bearer sk-right' },
      { 'api-key': 'sk-right' },
      { 'x-api-key': 'sk-right' },
    ]) {
      expect((await chat(sim, {}, headers)).status).toBe(200)
    }
  })

  it('knows only its models when strict', async () => {
    const sim = await start({ strictModels: true })
    const response = await chat(sim, { model: 'gpt-99' })
    expect(response.status).toBe(404)
    expect(await errorOf(response)).toMatchObject({
      code: 'model_not_found',
      message: expect.stringContaining('The model `gpt-99` does not exist'),
    })
    expect((await chat(sim, { model: 'gpt-4o~comments' })).status).toBe(200)
  })

  it('keeps a quota for each key and says so', async () => {
    const sim = await start({ quota: { requestsPerMinute: 2, tokensPerMinute: 1000 } })
    const a = { authorization: 'Bearer a' }
    const first = await chat(sim, {}, a)
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1')
    expect(Number(first.headers.get('x-ratelimit-remaining-tokens'))).toBeLessThan(1000)
    await chat(sim, {}, a)
    const refused = await chat(sim, {}, a)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after-ms'))).toBeGreaterThan(20_000)
    expect(await errorOf(refused)).toMatchObject({ type: 'requests', code: 'rate_limit_exceeded' })
    expect((await chat(sim, {}, { authorization: 'Bearer b' })).status).toBe(200)
  })

  it('describes requests to paths that it does not know, byte for byte', async () => {
    const sim = await start()
    const body = Buffer.from([0, 1, 2, 255, 254])
    const response = await fetch(`${sim.url}/fine_tuning/jobs?limit=2`, {
      method: 'PUT',
      body,
      headers: { 'content-type': 'application/octet-stream', 'x-mine': 'yes' },
    })
    expect(await response.json()).toMatchObject({
      object: 'sim.echo',
      method: 'PUT',
      path: '/v1/fine_tuning/jobs',
      query: { limit: '2' },
      headers: { 'x-mine': 'yes' },
      body: { length: 5, sha256: createHash('sha256').update(body).digest('hex') },
    })
    expect((await fetch(`http://127.0.0.1:${sim.port}/nowhere`)).status).toBe(404)
  })

  it('records what it received, as it was sent', async () => {
    const sim = await start()
    const body = gzipSync(JSON.stringify({ model: 'm~crlf', messages: [{ role: 'user', content: 'Hi' }] }))
    const response = await fetch(`${sim.url}/chat/completions`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    })
    expect(response.status).toBe(200)
    expect(sim.received).toHaveLength(1)
    expect(sim.received[0]).toMatchObject({
      method: 'POST',
      path: '/v1/chat/completions',
      model: 'm~crlf',
      requestId: response.headers.get('x-request-id'),
    })
    expect(sim.received[0]?.body.equals(body)).toBe(true)
    await response.text()
    expect(sim.stats()).toMatchObject({
      requests: 1,
      byModel: { 'm~crlf': 1 },
      byPath: { 'POST /v1/chat/completions': 1 },
      faults: { crlf: 1 },
    })
    expect(sim.stats().promptTokens).toBeGreaterThan(0)
    sim.reset()
    expect(sim.received).toHaveLength(0)
    expect(sim.stats()).toMatchObject({ requests: 0, promptTokens: 0, byModel: {} })
  })

  it('refuses malformed JSON in the envelope of the API', async () => {
    const sim = await start()
    const response = await fetch(`${sim.url}/chat/completions`, {
      method: 'POST',
      body: '{"model":',
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status).toBe(400)
    expect(await errorOf(response)).toEqual({
      message: expect.stringContaining('parse the JSON body'),
      type: 'invalid_request_error',
      param: null,
      code: null,
    })
  })

  it('tells when a peer leaves an open answer, and not otherwise', async () => {
    const sim = await start()
    const left = new Promise<SimClosed>((resolve) => sim.onClosed(resolve))
    const leave = new AbortController()
    const response = await fetch(`${sim.url}/chat/completions`, {
      method: 'POST',
      signal: leave.signal,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'a~stall_after=1', stream: true, messages: [{ role: 'user', content: 'Hi' }] }),
    })
    await response.body?.getReader().read()
    const before = performance.now()
    leave.abort()
    const closed = await left
    expect(closed).toMatchObject({ requestId: response.headers.get('x-request-id'), model: 'a~stall_after=1' })
    expect(closed.at).toBeGreaterThanOrEqual(before)
    await chat(sim, { model: 'a~reset_before_headers' }).catch(() => undefined)
    await (await chat(sim)).text()
    expect(sim.closed).toHaveLength(1)
    expect(sim.stats()).toMatchObject({ closedByPeer: 1, inFlight: 0 })
  })

  it('keeps files and reads multipart', async () => {
    const sim = await start()
    const form = new FormData()
    form.set('purpose', 'assistants')
    form.set('file', new Blob(['warp and weft'], { type: 'text/plain' }), 'loom.txt')
    const made = (await (await fetch(`${sim.url}/files`, { method: 'POST', body: form })).json()) as { id: string }
    expect(made).toMatchObject({ object: 'file', bytes: 13, filename: 'loom.txt', purpose: 'assistants' })
    expect(await (await fetch(`${sim.url}/files/${made.id}/content`)).text()).toBe('warp and weft')
    expect(((await (await fetch(`${sim.url}/files`)).json()) as { data: unknown[] }).data).toHaveLength(1)
    expect((await fetch(`${sim.url}/files/${made.id}`, { method: 'DELETE' })).status).toBe(200)
    expect((await fetch(`${sim.url}/files/${made.id}`)).status).toBe(404)
    const audio = new FormData()
    audio.set('model', 'whisper-1')
    audio.set('file', new Blob([Uint8Array.of(1, 2, 3)]), 'a.wav')
    const heard = (await (await fetch(`${sim.url}/audio/transcriptions`, { method: 'POST', body: audio })).json()) as {
      text: string
    }
    expect(heard.text).toContain('3 bytes')
    expect(sim.received.at(-1)?.model).toBe('whisper-1')
  })

  it('serves several requests on one connection, pipelined', async () => {
    const sim = await start()
    const socket = connect(sim.port, '127.0.0.1')
    const request = `GET /v1/models/one HTTP/1.1\r\nhost: sim\r\n\r\n`
    socket.write(request + request.replace('one', 'two').replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await once(socket, 'close')
    expect(text.match(/"id":"(one|two)"/g)).toEqual(['"id":"one"', '"id":"two"'])
    expect(sim.stats().connections).toBe(1)
  })

  it('refuses to start with a bad fault spec or on a port in use', async () => {
    await expect(startSim({ faults: 'nonsense' })).rejects.toThrow("no fault is named 'nonsense'")
    const sim = await start({ faults: 'status=418' })
    expect((await chat(sim)).status).toBe(418)
    await expect(startSim({ port: sim.port })).rejects.toThrow('EADDRINUSE')
  })
})

describe('heddle sim', () => {
  const cli = fileURLToPath(new URL('../../src/sim/cli.ts', import.meta.url))
  const script = `import { simCommand } from ${JSON.stringify(cli)}; await simCommand(process.argv.slice(1))`

  const run = (...args: string[]) =>
    spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })

  const finished = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
    const child = run(...args)
    const texts = { out: '', err: '' }
    child.stdout.on('data', (chunk: Buffer) => (texts.out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (texts.err += chunk.toString()))
    const [code] = (await once(child, 'close')) as [number]
    return { code, ...texts }
  }

  it('says where it listens, serves, and stops on SIGTERM', async () => {
    const child = run('--port', '0', '--json', '--seed', '3', '--faults', 'status=418')
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const { event, url } = JSON.parse(line.toString()) as { event: string; url: string }
    expect(event).toBe('listening')
    expect((await fetch(`${url}/models`)).status).toBe(418)
    child.kill('SIGTERM')
    expect(await once(child, 'close')).toEqual([0, null])
  })

  it('lists faults, helps, and explains mistakes', async () => {
    const [list, help, flag, port, fault] = await Promise.all([
      finished('--list-faults', '--json'),
      finished('--help'),
      finished('--bogus'),
      finished('--port', 'abc'),
      finished('--faults', 'nonsense'),
    ])
    expect((JSON.parse(list.out) as { name: string }[]).some(({ name }) => name === 'early_error')).toBe(true)
    expect(help.out).toContain('Examples:')
    for (const mistake of [flag, port, fault]) {
      expect(mistake.code).toBe(2)
      expect(mistake.err).toContain('heddle sim --help')
    }
  })
})
