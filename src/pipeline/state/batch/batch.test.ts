import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryBlobs } from '../../../store/blobs-memory.ts'
import { readForm } from './form.ts'
import { answeredLine, isFault, linesIn, readLine, unansweredLine } from './lines.ts'
import { isBatchId, isFileId } from './records.ts'
import { Slots } from './run.ts'
import { Vault } from './vault.ts'

const OWNER = { kind: 'api_key', tenant: '', keyId: 'ada' } as const
const CONFIG = {
  models: ['*'],
  concurrency: 1,
  maxFileBytes: 1e9,
  maxLines: 10,
  ttlMs: 1e6,
  maxOpen: 1,
  priority: 0,
}
const all = (): boolean => true

const form = (...parts: readonly string[]): Buffer =>
  Buffer.from(`${parts.map((part) => `--b\r\nContent-Disposition: form-data; ${part}\r\n`).join('')}--b--\r\n`)
const TYPE = 'multipart/form-data; boundary=b'

test('a form is read with its file, byte for byte', () => {
  const { fields, file } = readForm(
    form(
      'name="purpose"\r\n\r\nbatch',
      'name="file"; filename="a.jsonl"\r\nContent-Type: x/y\r\n\r\nline 1\r\n--c\nline 2',
    ),
    TYPE,
  )
  expect([...fields]).toEqual([['purpose', 'batch']])
  expect(file!.name).toBe('a.jsonl')
  expect(file!.content.toString()).toBe('line 1\r\n--c\nline 2')
})

test('forms that could be read in two ways, or are cut off, are refused', () => {
  const bad = [
    form('name="file"\r\n\r\na', 'name="file"\r\n\r\nb'),
    form('name="purpose"\r\n\r\na', 'name="purpose"\r\n\r\nb'),
    form('filename="x"\r\n\r\na'),
    form('name="file"\r\n\r\na').subarray(0, -8),
    Buffer.from('nothing'),
    Buffer.alloc(0),
  ]
  for (const body of bad) expect(() => readForm(body, TYPE)).toThrow(/multipart/)
  expect(() => readForm(form('name="file"\r\n\r\na'), 'multipart/form-data')).toThrow(/boundary/)
})

test('no body makes reading fail otherwise', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('--b', '--', '\r\n', 'name="file"', '; ', 'x', '\r\n\r\n')), (pieces) => {
      try {
        readForm(Buffer.from(pieces.join('')), TYPE)
      } catch (error) {
        expect(String(error)).toMatch(/multipart/)
      }
    }),
  )
})

test('a line says all that it must', () => {
  const url = '/v1/embeddings'
  const good = { custom_id: 'a', method: 'POST', url, body: { model: 'm', input: 'x' } }
  expect(readLine(JSON.stringify(good), 1, url, all)).toEqual({ customId: 'a', body: good.body })
  const bad: readonly (readonly [string, object | string])[] = [
    ['invalid_json_line', '{'],
    ['invalid_json_line', '[]'],
    ['missing_required_parameter', { ...good, custom_id: '' }],
    ['missing_required_parameter', { ...good, custom_id: 1 }],
    ['missing_required_parameter', { ...good, body: 'x' }],
    ['invalid_method', { ...good, method: 'GET' }],
    ['invalid_url', { ...good, url: '/v1/files' }],
    ['model_not_found', { ...good, body: {} }],
    ['invalid_request', { ...good, body: { ...good.body, background: true } }],
  ]
  for (const [code, line] of bad) {
    const text = typeof line === 'string' ? line : JSON.stringify(line)
    expect([text, readLine(text, 7, url, all)]).toMatchObject([text, { code, line: 7 }])
  }
  expect(isFault(readLine(JSON.stringify(good), 1, url, () => false))).toBe(true)
})

test('result lines are JSON, each one line', () => {
  const answered = answeredLine('i', 'a"b', { status: 200, requestId: 'r', body: '{"x":1}' })
  expect(JSON.parse(answered)).toEqual({
    id: 'i',
    custom_id: 'a"b',
    response: { status_code: 200, request_id: 'r', body: { x: 1 } },
    error: null,
  })
  expect(JSON.parse(unansweredLine('i', 'c', 'batch_expired', 'why'))).toMatchObject({ response: null })
  expect(answered.indexOf('\n')).toBe(answered.length - 1)
})

test('what is put away in parts is whole, and no line is cut in two', async () => {
  const store = new MemoryBlobs(1e9)
  const vault = new Vault({ store, config: CONFIG, onFault: () => {} })
  const lines = Array.from({ length: 900 }, (_, i) => `${i}${'é'.repeat((i * 37) % 5000)}`)
  lines.push('x'.repeat(3_000_000), 'last')
  const content = Buffer.from(lines.join('\n'))
  const parts = await vault.putContent(OWNER, 'f', content)
  expect(parts).toBeGreaterThan(3)
  const back: Buffer[] = []
  for (let part = 0; part < parts; part++) back.push((await vault.getPart(OWNER, 'f', part))!)
  expect(Buffer.concat(back).equals(content)).toBe(true)
  expect(back.flatMap(linesIn)).toEqual(lines)
  expect(await vault.getPart({ ...OWNER, keyId: 'bob' }, 'f', 0)).toBeNull()
  store.close()
})

test('only one worker has a lease, until it gives it back', async () => {
  const store = new MemoryBlobs(1e6)
  const vault = new Vault({ store, config: CONFIG, onFault: () => {} })
  expect(await vault.lease('b', 'one')).toBe(true)
  expect(await vault.lease('b', 'two')).toBe(false)
  expect([await vault.renew('b', 'one'), await vault.renew('b', 'two')]).toEqual([true, false])
  await vault.release('b')
  expect(await vault.lease('b', 'two')).toBe(true)
  expect(await vault.renew('b', 'one')).toBe(false)
  store.close()
})

test('places are given in turn', async () => {
  const slots = new Slots(1)
  const order: number[] = []
  await slots.take()
  const waiting = [1, 2].map((n) => slots.take().then(() => order.push(n)))
  slots.give()
  await waiting[0]
  expect(order).toEqual([1])
  slots.give()
  await Promise.all(waiting)
  expect(order).toEqual([1, 2])
})

test('ids of providers are not ours', () => {
  for (const id of ['file-abc', 'batch_abc', 'file-hdl_x', ''])
    expect([isFileId(id), isBatchId(id)]).toEqual([false, false])
  const tail = 'x'.repeat(32)
  expect([isFileId(`file-hdl_${tail}`), isBatchId(`batch_hdl_${tail}`)]).toEqual([true, true])
  expect([isFileId(`batch_hdl_${tail}`), isBatchId(`file-hdl_${tail}`)]).toEqual([false, false])
})
