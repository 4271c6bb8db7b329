// A marker in every place that can hold a secret, and every way out of the process searched for it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import type { Backend } from '../support/backend.ts'
import { until } from '../support/client.ts'
import { startHeddle } from './lifecycle-kit.ts'
import type { Heddle } from './lifecycle-kit.ts'

let heddle: Heddle | null = null
let backend: Backend | null = null
let folder = ''
afterEach(async () => {
  await heddle?.dispose()
  await backend?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** No secret holds another: what is found is where it came from. */
const made: string[] = []
const secret = (where: string): string => {
  const text = `zq7MARK${where}x9Kv4Rw2Lp8`
  made.push(text)
  return text
}

const S = {
  admin: secret('admin'),
  api: secret('api'),
  header: secret('header'),
  query: secret('query'),
  poolOne: secret('poolone'),
  poolTwo: secret('pooltwo'),
  file: secret('file'),
  aws: secret('aws'),
  session: secret('session'),
  token: secret('token'),
  tenant: secret('tenant'),
  key: secret('key'),
  former: secret('former'),
  redis: secret('redis'),
  otlp: secret('otlp'),
  guess: secret('guess'),
  prompt: secret('prompt'),
}

const configOf = (url: string): string => `
server: { admin_token: ${S.admin}, log: { level: debug } }
providers:
  plain: { type: openai_compatible, base_url: "${url}", api_key: ${S.api}, headers: { x-extra: ${S.header} }, query: { sig: ${S.query} } }
  pool: { type: openai_compatible, base_url: "${url}", credentials: { keys: [${S.poolOne}, { id: b, key: ${S.poolTwo} }] } }
  file: { type: openai_compatible, base_url: "${url}", credentials: { file: ${join(folder, 'key')} } }
  aws: { type: openai_compatible, base_url: "${url}", credentials: { aws: { region: eu-central-1, access_key_id: AKIAEXAMPLE, secret_access_key: ${S.aws}, session_token: ${S.session} } } }
  azure: { type: openai_compatible, base_url: "${url}", credentials: { azure: { managed_identity: { endpoint: "${url}/msi"} } } }
defaults: { breaker: { enabled: false }, retries: { max_attempts: 1 } }
models:
  plain: plain/m
  pool: pool/m
  file: file/m
  aws: aws/m
  azure: azure/m
tenants:
  acme: { credentials: { plain: ${S.tenant} } }
auth:
  keys:
    - { id: ci, key: ${S.key}, team: build }
    - { id: own, key: ${S.former}, tenant: acme }
limits: { all: { per: [key], rules: [{ requests: 100000, per: 1m }] } }
ledger: { redis: { url: "redis://someone:${S.redis}@127.0.0.1:1" } }
usage: { records: { file: { path: ${join(folder, 'usage.jsonl')} }, otlp: { url: "${url}/otlp", headers: { x-key: ${S.otlp} } } } }
`

// Those after which a key rests come last.
const STATUSES = [200, 400, 404, 422, 500, 503, 429, 403, 401]

test('no secret leaves the process', { timeout: 60_000 }, async () => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-review-'))
  writeFileSync(join(folder, 'key'), S.file)
  const sent: string[] = []
  backend = await startBackend((res, _n, req, body) => {
    const said = `${req.url} ${JSON.stringify(req.headers)}`
    sent.push(said)
    if (req.url!.includes('/msi')) {
      sendJson(res, 200, { access_token: S.token, expires_on: String(Math.floor(Date.now() / 1000) + 3600) })
      return
    }
    if (req.url!.includes('/otlp')) {
      sendJson(res, 500, { said })
      return
    }
    const { status, stream } = JSON.parse(body.toString()) as { status: number; stream?: boolean }
    res.setHeader('x-echo', 'said' + status)
    // A backend that tells all it was sent, in every form of an error.
    const error = { error: { message: `bad: ${said}`, code: said, type: said, param: said } }
    if (stream === true && status === 200) {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.end(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: ${JSON.stringify(error)}\n\n`)
    } else sendJson(res, status, status === 200 ? CHAT_ANSWER : error)
  })
  heddle = await startHeddle(configOf(backend.url))
  if (heddle.url === '') throw new Error(heddle.output())
  const out = new Map<string, string>()
  const keep = async (name: string, answer: Response): Promise<void> => {
    out.set(`${name} ${answer.status}`, `${JSON.stringify([...answer.headers])} ${await answer.text()}`)
  }
  const post = (key: string, body: object, path = '/v1/chat/completions'): Promise<Response> =>
    fetch(`${heddle!.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-heddle-explain': '1' },
      body: JSON.stringify({ messages: [{ role: 'user', content: S.prompt }], ...body }),
    })
  for (const status of STATUSES)
    for (const model of ['plain', 'pool', 'file', 'aws', 'azure'])
      for (const stream of [false, true]) {
        await keep(`${model} ${stream} ${status}`, await post(S.key, { model, status, stream }))
        if (model === 'plain') await keep(`own ${stream} ${status}`, await post(S.former, { model, status, stream }))
      }
  await keep('passed', await post(S.key, { model: 'plain', status: 400 }, '/v1/rerank'))
  await keep('stranger', await post(S.guess, { model: 'plain' }))
  await keep('two', await fetch(`${heddle.url}/v1/models?api_key=${S.guess}`, { headers: { 'x-api-key': S.guess } }))
  const admin = { authorization: `Bearer ${S.admin}` }
  for (const path of ['/metrics', '/admin/state', '/admin/config', '/admin/limits', '/admin/keys/revoked'])
    await keep(path, await fetch(`${heddle.adminUrl}${path}`, { headers: admin }))
  await keep(
    'admin',
    await fetch(`${heddle.adminUrl}/admin/state`, { headers: { authorization: `Bearer ${S.guess}` } }),
  )
  // Secrets where none may be: what is said of the mistake must not quote them.
  const broken = configOf(backend.url)
    .replace(`api_key: ${S.api}`, `api_key: [${S.api}]`)
    .replace(`key: ${S.key}`, `key: { a: ${S.key} }`)
    .replace(`admin_token: ${S.admin}`, `admin_token: { ${S.admin}: 1 }`)
    .replace(`redis://someone:`, `redis//someone:`)
    .replace(`plain: ${S.tenant}`, `plane: ${S.tenant}`)
  writeFileSync(heddle.file, broken)
  await keep('reload', await fetch(`${heddle.adminUrl}/admin/reload`, { method: 'POST', headers: admin }))
  expect(out.get('reload 422')).toBeDefined()
  await until(() => readFileSync(join(folder, 'usage.jsonl'), 'utf8').includes('"own"'))
  heddle.kill('SIGTERM')
  await heddle.exited
  out.set('log', heddle.output())
  out.set('records', readFileSync(join(folder, 'usage.jsonl'), 'utf8'))
  // All that a backend is to get did get there: nothing was looked for in vain.
  for (const name of [
    'api',
    'header',
    'query',
    'poolOne',
    'poolTwo',
    'file',
    'session',
    'token',
    'tenant',
    'otlp',
  ] as const)
    expect([name, sent.some((text) => text.includes(S[name]))]).toEqual([name, true])
  expect(out.get('log')).toContain('"key":"ci"')
  const found = [...out].flatMap(([name, text]) =>
    made.filter((marker) => text.includes(marker)).map((marker) => `${name}: ${marker} in ${around(text, marker)}`),
  )
  expect(found).toEqual([])
})

const around = (text: string, marker: string): string => {
  const at = text.indexOf(marker)
  return text.slice(Math.max(0, at - 120), at + marker.length + 20)
}
