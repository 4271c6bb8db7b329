import { expect, test } from 'vitest'
import { create } from '@bufbuild/protobuf'
import type { Target } from '../contracts/routing.ts'
import type { UpstreamFault, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { CallDoor } from '../pipeline/door.ts'
import { GatewayError } from '../core/errors.ts'
import { CLOSED_HEADERS } from '../mesh/identity/visible.ts'
import { ProcessingRequestSchema, type ProcessingResponse } from '../protocol/grpc/gen/ext_proc_pb.ts'
import type { ProcStream } from './ext-proc-reply.ts'
import { OpenStreams } from './streams.ts'
import { processHandler, type ProcParts } from './ext-proc.ts'

const target = (picker: object | undefined): Target =>
  ({
    provider: {
      name: 'p',
      config: { baseUrl: 'http://b.example/v1' },
      upstream: picker === undefined ? {} : { picker },
    },
    headerName: 't',
  }) as unknown as Target

const EMPTY = {
  pick: () => {
    throw new GatewayError('upstream_unavailable', 'no endpoint')
  },
}
const REQUEST = {
  method: 'GET',
  path: '/v1/files',
  headers: [],
  body: null,
  longAnswer: false,
  pick: {},
} as unknown as UpstreamRequest

type Message = Parameters<typeof create<typeof ProcessingRequestSchema>>[1]

/** A stream whose head has come. */
function started(endOfStream: boolean, more: readonly string[] = []) {
  const written: ProcessingResponse[] = []
  const call: ProcStream = {
    cancelled: false,
    write: (message: ProcessingResponse) => written.push(message) > 0,
    end: () => {},
    fail: () => {},
    pause: () => {},
    resume: () => {},
  }
  const doors: CallDoor[] = []
  const parts = {
    services: {
      clock: { monotonic: () => 0 },
      limits: { headerBytes: 1000, headerCount: 10, body: 1000 },
      current: () => ({ policies: { headers: CLOSED_HEADERS, auth: null } }),
    },
    gate: { refusal: () => null, overload: () => null },
    streams: new OpenStreams(),
    inflight: () => {},
    decided: () => {},
    config: () => ({ credentials: true, rewrite: true, maxStreams: 1 }),
    begin: (_received: unknown, _reply: unknown, door: CallDoor) => {
      doors.push(door)
      return { begin() {}, fail() {}, onClientGone() {}, onDrain() {}, onClientStalled() {} }
    },
  } as unknown as ProcParts
  const listener = processHandler(parts)(call)!
  const send = (message: object): void => listener.onMessage(create(ProcessingRequestSchema, message as Message))
  const key = (name: string, value: string): object => ({ key: name, rawValue: Buffer.from(value) })
  const headers = {
    headers: [':method', 'GET', ':path', '/v1/files', ...more].flatMap((name, i, all) =>
      i % 2 === 0 ? [key(name, all[i + 1]!)] : [],
    ),
  }
  send({ request: { case: 'requestHeaders', value: { headers, endOfStream } } })
  return { written, doors, send }
}

test('what is refused by its head is refused once, whatever still comes of it', () => {
  const { doors, send } = started(false, ['x-api-key', 'a', 'x-api-key', 'a'])
  expect(doors.length).toBe(1)
  send({ request: { case: 'requestBody', value: { body: Buffer.from('{}'), endOfStream: true } } })
  expect(doors.length).toBe(1)
})

test('a call for which no endpoint can be picked was not handed over: another target may have it', async () => {
  const { written, doors } = started(true)
  const door = doors[0]!
  const faults: UpstreamFault[] = []
  const sink = { onFault: (fault: UpstreamFault) => void faults.push(fault) } as unknown as UpstreamSink
  door.call(target(EMPTY), REQUEST, sink)
  await Promise.resolve()
  expect(faults).toMatchObject([{ kind: 'connect' }])
  expect([door.used, written.length]).toEqual([false, 0])
  door.call(target(undefined), REQUEST, sink)
  expect([door.used, written[0]?.response.case]).toEqual([true, 'requestHeaders'])
})
