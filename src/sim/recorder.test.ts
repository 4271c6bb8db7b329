import { expect, it } from 'vitest'
import type { SimReceived } from './recorder.ts'
import { Recorder } from './recorder.ts'

const entry = (id: number, body: Buffer): SimReceived => ({
  requestId: String(id),
  method: 'POST',
  path: '/v1/x',
  headers: {},
  rawHeaders: [],
  body,
  at: id,
  model: `m${id}`,
})

it('keeps the last 1000 requests', () => {
  const recorder = new Recorder()
  for (let i = 0; i < 1500; i++) recorder.request(entry(i, Buffer.alloc(0)), '/v1/x')
  expect(recorder.received.length).toBe(1000)
  expect(recorder.received[0]?.requestId).toBe('500')
  expect(recorder.stats().byPath).toEqual({ 'POST /v1/x': 1500 })
  expect(recorder.stats().byModel['other']).toBe(1000)
})

it('keeps no more than 64 MiB of bodies, and always the newest', () => {
  const recorder = new Recorder()
  const large = Buffer.alloc(30 * 1024 * 1024)
  for (let i = 0; i < 4; i++) recorder.request(entry(i, large), '/v1/x')
  expect(recorder.received.map(({ requestId }) => requestId)).toEqual(['2', '3'])
  recorder.request(entry(9, Buffer.concat([large, large, large])), '/v1/x')
  expect(recorder.received.map(({ requestId }) => requestId)).toEqual(['9'])
})
