import { expect, test } from 'vitest'
import type { AnswerSink } from '../contracts/dialect.ts'
import { wireOf } from '../protocol/wires.ts'
import { callsAllowed, Listener } from './listener.ts'

/** Notes what it is told, in order. */
function recorder(): { readonly told: string[]; readonly sink: AnswerSink } {
  const told: string[] = []
  const sink = new Proxy({} as AnswerSink, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        void told.push(`${String(name)} ${args.map((arg) => JSON.stringify(arg)).join(' ')}`),
  })
  return { told, sink }
}

test('what Heddle must know of an answer is noted on its way', () => {
  const { told, sink } = recorder()
  const listener = new Listener(sink)
  expect([listener.opened, listener.content]).toEqual([false, false])
  listener.start('a', 'm')
  expect([listener.opened, listener.content]).toEqual([true, false])
  listener.text(0, '')
  listener.reasoning(0, '')
  expect(listener.content).toBe(false)
  listener.text(0, 'x')
  expect(listener.content).toBe(true)
  listener.finish(0, 'stop', '')
  listener.end()
  expect(told).toEqual(['start "a" "m"', 'text 0 "x"', 'finish 0 "stop" ""', 'end '])
})

test('a client that asked for one call gets one, of a backend that could not be told', () => {
  const request = { model: 'm', messages: [], stream: false }
  const one = { ...request, parallelTools: false }
  expect(callsAllowed(wireOf('gemini.generate'), one)).toBe(1)
  expect(callsAllowed(wireOf('gemini.generate'), request)).toBe(Infinity)
  expect(callsAllowed(wireOf('openai.chat'), one)).toBe(Infinity)
  const { told, sink } = recorder()
  const listener = new Listener(sink, 1)
  for (const index of [0, 1]) {
    listener.toolCall(0, index, `id${index}`, 'f', false)
    listener.toolArguments(0, index, '{}')
    listener.toolSignature(0, index, { by: 'gemini.generate', value: 's' })
  }
  // Another choice has calls of its own.
  listener.toolCall(1, 0, 'other', 'f', false)
  expect(told.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
    'toolCall 0 0',
    'toolArguments 0 0',
    'toolSignature 0 0',
    'toolCall 1 0',
  ])
})
