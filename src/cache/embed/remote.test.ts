import { expect, test, vi } from 'vitest'
import { RemoteEmbedder } from './remote.ts'

const base = { model: 'm1', dimensions: 2, deadlineMs: 60_000 }

test('texts that come while requests are under way go together, each with its own vector', async () => {
  const batches: string[][] = []
  const answers: (() => void)[] = []
  const embedder = new RemoteEmbedder({
    ...base,
    mostRequests: 1,
    mostTexts: 2,
    request: async (texts) => {
      batches.push(texts)
      await new Promise<void>((resolve) => answers.push(resolve))
      return texts.map((text) => [text.length, 1])
    },
  })
  const all = ['a', 'bb', 'ccc', 'dddd'].map(async (text) => embedder.embed(text))
  while (batches.length < 3) {
    answers.at(-1)!()
    await vi.waitFor(() => expect(answers.length).toBe(batches.length))
  }
  answers.at(-1)!()
  expect(batches).toEqual([['a'], ['bb', 'ccc'], ['dddd']])
  const made = await Promise.all(all)
  expect(made.map((vector) => [...vector!.values])).toEqual([
    [127, 127],
    [127, 64],
    [127, 42],
    [127, 32],
  ])
  expect(made[1]!.norm).toBeCloseTo(Math.hypot(127, 64), 10)
  expect(embedder.version).toBe('remote-m1-2')
})

test('a failure, a wrong size and a wrong count are no vector, and are told', async () => {
  const errors: unknown[] = []
  const answers: (() => number[][])[] = [
    () => {
      throw new Error('refused')
    },
    () => [[1, 2, 3]],
    () => [],
    () => [[0, 0]],
    () => [[Number.NaN, 1]],
    () => [[3, -4]],
  ]
  const request = async () => answers.shift()!()
  const embedder = new RemoteEmbedder({ ...base, request, onError: (error) => errors.push(error) })
  const made = []
  while (answers.length > 0) made.push(await embedder.embed('x'))
  expect(made.slice(0, 5)).toEqual([null, null, null, null, null])
  expect([...made[5]!.values]).toEqual([95, -127])
  expect(errors).toHaveLength(3)
})

test('what waits too long has no vector, and is not sent afterwards', async () => {
  vi.useFakeTimers()
  try {
    const sent: string[][] = []
    let answer = (): void => {}
    const embedder = new RemoteEmbedder({
      ...base,
      deadlineMs: 50,
      mostRequests: 1,
      mostWaiting: 2,
      request: async (texts) => {
        sent.push(texts)
        await new Promise<void>((resolve) => {
          answer = resolve
        })
        return texts.map(() => [1, 0])
      },
    })
    const both = ['first', 'second'].map(async (text) => embedder.embed(text))
    expect(await embedder.embed('one too many')).toBeNull()
    await vi.advanceTimersByTimeAsync(51)
    expect(await Promise.all(both)).toEqual([null, null])
    answer()
    await vi.advanceTimersByTimeAsync(1)
    expect(sent).toEqual([['first']])
    const third = embedder.embed('third')
    await vi.advanceTimersByTimeAsync(1)
    answer()
    expect((await third)?.coverage).toBe(1)
  } finally {
    vi.useRealTimers()
  }
})

test('a blank text is not sent', () => {
  const embedder = new RemoteEmbedder({ ...base, request: () => Promise.reject(new Error('not to be called')) })
  expect(embedder.embed(' \n')).toMatchObject({ norm: 0, coverage: 0 })
})
