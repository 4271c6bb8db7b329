import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startSim } from '../../src/sim/index.ts'
import { chat } from '../support/client.ts'

const KEY = 'plain.backend.key.0123456789'
const CLIENT_KEY = 'sk-client-key-0123456789abcdef'
const PROMPT = 'the heddle of queen Xanthippe'

test('the log of a process: a line a request, of JSON, with attempts and without content or keys', async () => {
  const sim = await startSim()
  const folder = mkdtempSync(join(tmpdir(), 'heddle-log-'))
  const config = join(folder, 'heddle.yaml')
  const faults = [
    'auth_401',
    'status=500',
    'status=422',
    'context_length',
    'html',
    'error_after=2~interval=20',
    'rate_limit',
    'early_error',
  ]
  writeFileSync(
    config,
    `defaults: { retries: { max_retry_after: 100ms } }\nproviders:\n  p: { type: openai_compatible, base_url: "${sim.url}", api_key: "${KEY}" }\nmodels:\n${faults.map((f, i) => `  m${i}: { targets: ["p/x${i}~${f}", "p/y${i}~${f}"], retries: { backoff: { base: 0, max: 0 } } }`).join('\n')}\n  good: p/good\n`,
  )
  const child = spawn(
    process.execPath,
    [
      new URL('../../bin/heddle.mjs', import.meta.url).pathname,
      'serve',
      '--config',
      config,
      '--port',
      '0',
      '--admin-port',
      '0',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  try {
    let output = ''
    const url = await new Promise<string>((resolve, reject) => {
      child.once('exit', () => reject(new Error(output)))
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
        const found = /^API +(http:\/\/127\.0\.0\.1:\d+)\/v1$/m.exec(output)?.[1]
        if (found !== undefined) resolve(found)
      })
    })
    const body = { messages: [{ role: 'user', content: PROMPT }], user: 'Xanthippe' }
    const headers = { authorization: `Bearer ${CLIENT_KEY}` }
    for (const stream of [false, true]) {
      for (const model of [...faults.map((_, i) => `m${i}`), 'good', 'no such "model"'])
        await chat(url, model, { ...body, stream }, headers)
    }
    // `close`, not `exit`: what stands in the pipe is still read.
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGTERM')
    await ended
    const lines = output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const requests = lines.filter((line) => line['msg'] === 'request')
    expect(requests).toHaveLength(2 * (faults.length + 2))
    for (const secret of [KEY, CLIENT_KEY, 'Xanthippe']) expect(output).not.toContain(secret)
    const of = (model: string): Record<string, unknown> => requests.find((line) => line['model'] === model)!
    expect(of('good')).toMatchObject({ status: 200, target: 'p/good', attempts: 1, level: 'info' })
    expect(of('m1')).toMatchObject({
      status: 502,
      code: 'upstream_error',
      level: 'warn',
      attempts: [
        { target: 'p/x1~status=500', result: 'http_500' },
        { target: 'p/y1~status=500', result: 'http_500' },
        { result: 'http_500' },
      ],
    })
    expect(of('no such "model"')).toMatchObject({ status: 404, code: 'model_not_found' })
    expect(of('good')['input_tokens']).toBeGreaterThan(0)
  } finally {
    child.kill('SIGKILL')
    await sim.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
