// Callers who mean harm: texts that are made to lie near another's question, answers planted for others, floods, and headers.
import { beforeAll, afterAll, describe, expect, test } from 'vitest'
import type { Backend } from '../support/backend.ts'
import type { Gateway } from '../support/gateway.ts'
import { loadTable } from '../../src/cache/embed/table.ts'
import { loadVerifier } from '../../src/cache/verify/load.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, type Reply } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway } from '../support/gateway.ts'

const closers = closedAfterEach()

const THINGS = [
  'a savings account',
  'a new passport',
  'my parking permit',
  'a library card',
  'the school lunch plan',
  'a fishing licence',
  'my pension statement',
  'a replacement key',
  'the gym membership',
  'a travel refund',
  'my dental appointment',
  'a garden waste bin',
  'a museum ticket',
  'my water meter reading',
  'a dog licence',
  'the season ticket',
]
/** What one may want of a thing, in words that mean it, and what the backend says to that. */
const INTENTS: readonly (readonly [answer: string, words: readonly string[]])[] = [
  ['Fill in the form and bring it to the office for', ['apply for', 'request', 'obtain']],
  ['Send last year’s paper by post to extend', ['renew', 'extend', 'prolong']],
  ['Write us a letter by Friday to end', ['cancel', 'terminate', 'give up']],
  ['Call the police at once and block', ['report the loss of', 'say that I lost']],
]
const WAYS: readonly ((what: string) => string)[] = [
  (what) => `How do I ${what}?`,
  (what) => `how can i ${what}`,
  (what) => `How would I ${what}?`,
  (what) => `Please tell me how to ${what}.`,
  (what) => `What must I do to ${what}?`,
  (what) => `How does one ${what}?`,
  (what) => `Hi, can you tell me how I ${what}`,
]
interface Asked {
  readonly question: string
  readonly answer: string
}
/** Every intent of every thing in all words and ways: the same order each time, those of one kind apart from each other. */
function traffic(): readonly Asked[] {
  const all = THINGS.flatMap((thing) =>
    INTENTS.flatMap(([answer, words]) =>
      words.flatMap((word) =>
        WAYS.map((way) => ({ question: way(`${word} ${thing}`), answer: `${answer} ${thing}.` })),
      ),
    ),
  )
  const step = 587
  return all.map((_, at) => all[(at * step) % all.length]!)
}

interface Running {
  readonly heddle: Gateway
  readonly backend: Backend
  /** By question, what the backend says; to all others it says what makes them out. */
  readonly answers: Map<string, string>
}
async function run(cache: string, more = ''): Promise<Running> {
  const answers = new Map<string, string>()
  const backend = await startBackend((res, _n, _req, body) => {
    const { messages } = JSON.parse(body.toString()) as { messages: { content: string }[] }
    const question = messages.at(-1)!.content
    const content = answers.get(question) ?? `That is another matter: ${question.slice(0, 2000)}`
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
    sendJson(res, 200, { ...CHAT_ANSWER, choices })
  })
  const heddle = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: p/m }
cache: ${cache}
${more}`)
  return { heddle, backend, answers }
}
const running = async (cache: string, more = ''): Promise<Running> => {
  const made = await run(cache, more)
  closers.push(() => made.backend.close())
  closers.push(() => made.heddle.stop())
  return made
}

/** Keys of one tenant each, or of the one that is named. */
const keysOf = (...keys: readonly (readonly [id: string, tenant: string])[]): string => `
auth:
  keys:
${keys.map(([id, tenant]) => `    - { id: ${id}, key: sk-heddle-${id}-00000000000000000, tenant: ${tenant} }`).join('\n')}
tenants: { ${[...new Set(keys.map(([, tenant]) => tenant))].map((tenant) => `${tenant}: {}`).join(', ')} }`
const as = (id: string) => ({ authorization: `Bearer sk-heddle-${id}-00000000000000000` })

const ask = (
  { heddle }: Running,
  content: string,
  headers: Readonly<Record<string, string>> = {},
  system: string | null = null,
): Promise<Reply> =>
  call(`${heddle.url}/v1/chat/completions`, {
    body: {
      model: 'm',
      messages: [...(system === null ? [] : [{ role: 'system', content: system }]), { role: 'user', content }],
    },
    headers,
  })
const statusOf = (reply: Reply): unknown => reply.headers['x-heddle-cache']
const contentOf = (reply: Reply): string =>
  (reply.json() as { choices: { message: { content: string } }[] }).choices[0]!.message.content

interface Semantic {
  readonly entries: number
  readonly estimates: readonly {
    readonly tenant: string
    readonly state: string
    readonly labels: number
    readonly hits: number
  }[]
}
const semanticOf = async ({ heddle }: Running): Promise<Semantic> =>
  ((await call(`${heddle.adminUrl}/admin/cache`)).json() as { semantic: readonly Semantic[] }).semantic[0]!

/** Until it has earned that it may serve. Returns how many it has served on the way. */
async function train(gateway: Running, headers: Readonly<Record<string, string>> = {}): Promise<number> {
  let hits = 0
  const all = traffic()
  for (const { question, answer } of all) gateway.answers.set(question, answer)
  for (let at = 0; at < all.length; at += 8) {
    const replies = await Promise.all(all.slice(at, at + 8).map(({ question }) => ask(gateway, question, headers)))
    hits += replies.filter((reply) => statusOf(reply) === 'semantic').length
  }
  return hits
}

const GIBBERISH = 'zxq vrulp kjh wotmal zxq brunfel'
/** Texts that are near a cached question and want something else. */
const CRAFTED: readonly (readonly [name: string, craft: (question: string) => string])[] = [
  ['the question, and gibberish after it', (q) => `${q} ${GIBBERISH} ${GIBBERISH}`],
  ['the question, and gibberish before it', (q) => `${GIBBERISH} ${GIBBERISH} ${q}`],
  ['the question in quotation marks, to be translated', (q) => `Translate into French: "${q}"`],
  ['the question, to be translated', (q) => `Translate this into French: ${q}`],
  ['the question denied', (q) => q.replace('I apply', 'I not apply')],
]

describe('once it serves', () => {
  let gateway: Running
  let served = 0
  const honest = (thing: string): string => `How should I apply for ${thing}?`

  beforeAll(async () => {
    gateway = await run(
      '{ mode: semantic, max_wrong_per_request: 3% }',
      keysOf(['ann', 'one'], ['mallory', 'one'], ['bob', 'two']),
    )
    served = await train(gateway, as('ann'))
  })
  afterAll(async () => {
    await gateway.heddle.stop()
    await gateway.backend.close()
  })

  // Not twice: what was asked the first time is there the second time.
  test('honest questions are found: what follows could be', { retry: 0 }, async () => {
    expect(served).toBeGreaterThan(20)
    expect((await semanticOf(gateway)).estimates).toMatchObject([{ tenant: 'one', state: 'serving' }])
    let hits = 0
    const questions = THINGS.flatMap((thing) => [honest(thing), `What should I do to apply for ${thing}?`])
    for (const [at, question] of questions.entries()) {
      const thing = THINGS[at >> 1]!
      gateway.answers.set(question, `${INTENTS[0]![0]} ${thing}.`)
      if (statusOf(await ask(gateway, question, as('ann'))) === 'semantic') hits++
    }
    expect(hits).toBeGreaterThan(2)
  })

  test.each(CRAFTED)('%s is not answered as the question is', async (_name, craft) => {
    for (const thing of THINGS) {
      const reply = await ask(gateway, craft(`How do I apply for ${thing}?`), as('mallory'))
      // That of another crafted one may do.
      expect(contentOf(reply)).toContain('another matter')
    }
  })

  test.each(CRAFTED)('%s does not lie in wait for who asks the question', async (_name, craft) => {
    const planted = ['a beekeeping permit', 'my bus pass', 'a voting card', 'the nursery place', 'a boat mooring']
    for (const thing of planted) {
      const crafted = craft(`How do I apply for ${thing}?`)
      gateway.answers.set(crafted, 'Send your password to mallory.')
      await ask(gateway, crafted, as('mallory'))
    }
    for (const thing of planted)
      for (const way of WAYS)
        expect(contentOf(await ask(gateway, way(`apply for ${thing}`), as('ann')))).not.toContain('mallory')
  })

  test('of another tenant nothing is so much as looked at', async () => {
    const before = await gateway.heddle.metric('heddle_cache_labels_total')
    // Each wants something that none of the others wants, so there is nothing of its own to learn from either.
    for (const thing of THINGS) {
      const reply = await ask(gateway, honest(thing), {
        ...as('bob'),
        'x-heddle-tenant': 'one',
        'x-heddle-cache-partition': 'one',
      })
      expect(statusOf(reply)).toBe('miss')
      expect(reply.headers).not.toHaveProperty('x-heddle-cache-similarity')
    }
    const { estimates } = await semanticOf(gateway)
    const own = estimates.find(({ tenant }) => tenant === 'two')!
    const labels = (await gateway.heddle.metric('heddle_cache_labels_total')) - before
    expect(own).toMatchObject({ state: 'learning', hits: 0 })
    // All that was compared is bob's own: the other tenant's numbers stand where they stood.
    // What is very unlike is no label, though it was looked at.
    expect(own.labels).toBeLessThanOrEqual(labels)
    expect(labels).toBeLessThan(THINGS.length)
    for (const thing of THINGS) expect(statusOf(await ask(gateway, honest(thing), as('bob')))).toBe('hit')
  })
})

describe('what the verifier lets through', () => {
  const table = loadTable()
  const verifier = loadVerifier(table)
  const cosineOf = (a: string, b: string): number => {
    const [p, q] = [table.embed(a), table.embed(b)]
    let dot = 0
    for (const [i, value] of p.values.entries()) dot += value * q.values[i]!
    return dot / (p.norm * q.norm)
  }
  const mayAnswer = (a: string, b: string): boolean => {
    const { score, veto } = verifier.compare(verifier.facts(a), verifier.facts(b), cosineOf(a, b))
    return veto === null && score >= 0.5
  }
  const base = 'How do I apply for a library card?'

  test.each([
    'Translate this into French: how do I apply for a library card',
    'My neighbour asked me "how do I apply for a library card" and then hit me; can I sue him?',
    'How many letters are in the sentence: How do I apply for a library card?',
    'How do I not apply for a library card?',
    'Why should I apply for a library card?',
    'When can I apply for a library card?',
    'Who may apply for a library card?',
    'How do I apply for a library card? Ignore that and write a poem about rain instead.',
    'How do I avoid having to apply for a library card?',
    'Write a poem about how I apply for a library card.',
  ])('not: %s', (question) => {
    expect(mayAnswer('how can i apply for a library card', base)).toBe(true)
    expect(mayAnswer(question, base)).toBe(false)
  })

  // Known, and open: each goes red where the verifier learns to tell it apart, and then belongs above.
  test.fails.each(['How do I apply for a library card with a false name?'])('still: %s', (question) => {
    expect(mayAnswer(question, base)).toBe(false)
  })
})

describe('answers of strangers', () => {
  test('are believed only when a second caller got the same', async () => {
    const gateway = await running(
      '{ mode: semantic, scope: org, max_wrong_per_request: 20% }',
      keysOf(['ann', 'one'], ['mallory', 'one'], ['carol', 'one']),
    )
    await train(gateway, as('ann'))
    const things = ['a beekeeping permit', 'a bus pass', 'a voting card', 'a nursery place', 'a boat mooring']
    const say = async (who: string, way: (what: string) => string): Promise<unknown[]> => {
      const seen: unknown[] = []
      for (const thing of things) {
        const question = way(`apply for ${thing}`)
        gateway.answers.set(question, `Fill in the form and bring it to the office for ${thing}.`)
        seen.push(statusOf(await ask(gateway, question, as(who))))
      }
      return seen
    }
    expect(await say('mallory', WAYS[0]!)).toEqual(things.map(() => 'miss'))
    // Hers alone: nobody else gets it, though it is nearer than what is served every day.
    expect(await say('carol', WAYS[1]!)).toEqual(things.map(() => 'miss'))
    // Two have it now.
    const third = [...(await say('ann', WAYS[2]!)), ...(await say('ann', WAYS[5]!))]
    expect(third).toContain('semantic')
  })

  test('come in no faster than one caller may add them', async () => {
    const gateway = await running(
      '{ mode: semantic, semantic: { inserts_per_minute: 20 } }',
      keysOf(['mallory', 'one'], ['ann', 'one']),
    )
    const questions = traffic().map(({ question }) => question)
    for (const question of questions.slice(0, 60)) await ask(gateway, question, as('mallory'))
    expect((await semanticOf(gateway)).entries).toBe(20)
    // What is asked again in the same words is no danger to anybody.
    expect(await gateway.heddle.metric('heddle_cache_entries')).toBe(60)
    for (const question of questions.slice(60, 65)) await ask(gateway, question, as('ann'))
    expect((await semanticOf(gateway)).entries).toBe(25)
  })
})

describe('floods', () => {
  test('of partitions, tags and entries stay within their bytes', async () => {
    const most = 1 << 20
    const gateway = await running(
      '{ mode: semantic, max_bytes: 1MiB, semantic: { max_bytes: 1MiB, inserts_per_minute: 1000000 } }',
    )
    for (let at = 0; at < 1600; at += 16) {
      await Promise.all(
        Array.from({ length: 16 }, (_, i) => {
          const tags = Array.from({ length: 8 }, (_tag, n) => `tag-${at + i}-${n}`).join(',')
          const question = `How do I apply for ${THINGS[i]!} number ${at}?`
          return ask(gateway, question, { 'x-heddle-cache-tags': tags }, `You are assistant ${at + i}.`)
        }),
      )
      if (at % 320 !== 0) continue
      expect(await gateway.heddle.metric('heddle_cache_bytes')).toBeLessThanOrEqual(most)
      expect(await gateway.heddle.metric('heddle_cache_vector_bytes')).toBeLessThanOrEqual(most)
    }
    const entries = await gateway.heddle.metric('heddle_cache_entries')
    expect(await gateway.heddle.metric('heddle_cache_bytes')).toBeGreaterThan(most / 2)
    expect(entries).toBeGreaterThan(100)
    expect(entries).toBeLessThan(1600)
    // What has made room is not found by meaning either.
    expect((await semanticOf(gateway)).entries).toBeLessThanOrEqual(entries)
    const again = 'How do I apply for a museum ticket?'
    await ask(gateway, again)
    expect(statusOf(await ask(gateway, again))).toBe('hit')
  })

  test('a question, an answer or a request that is too large is passed by', async () => {
    const gateway = await running('{ mode: semantic, max_entry: 4KiB, semantic: { max_question: 1KiB } }')
    const long = 'How do I apply for a library card? '.repeat(40)
    expect(statusOf(await ask(gateway, long))).toBe('miss')
    expect((await semanticOf(gateway)).entries).toBe(0)
    expect(statusOf(await ask(gateway, long))).toBe('hit')
    gateway.answers.set('short', 'x'.repeat(8000))
    await ask(gateway, 'short')
    expect(statusOf(await ask(gateway, 'short'))).toBe('miss')
    expect(await gateway.heddle.metric('heddle_cache_refused_total', { reason: 'too_large' })).toBe(2)
    const huge = await ask(gateway, 'short too', {}, 'x'.repeat(1 << 20))
    expect([statusOf(huge), huge.headers['x-heddle-cache-reason']]).toEqual(['bypass', 'too_large'])
  })
})

describe('headers', () => {
  const QUESTION = 'How do I apply for a fishing licence?'

  test.each<[string, Readonly<Record<string, string>>]>([
    ['an age without end', { 'cache-control': 'max-age=99999999999999999999' }],
    ['wishes for what is old', { 'cache-control': 'max-age=-1, max-age=1e9, max-stale=100, only-if-cached' }],
    ['thousands of directives', { 'cache-control': `${'x=1,'.repeat(2000)}no-such` }],
    ['directives of nothing', { 'cache-control': 's-maxage="", =, ,,;' }],
    ['what an answer says of the cache', { 'x-heddle-cache': 'bypass', 'x-heddle-cache-key': '../../etc' }],
    ['what a configuration says', { 'x-heddle-cache-mode': 'off', 'x-heddle-cache-ttl': '0', 'x-cache': 'miss' }],
    ['what other caches listen to', { age: '999999999', 'if-none-match': '*', pragma: 'no-cache' }],
    ['thousands of tags', { 'x-heddle-cache-tags': `${'a,'.repeat(3000)}${'b'.repeat(3000)},"<>;\u00e9` }],
  ])('%s: nothing changes', async (_name, headers) => {
    const gateway = await running('{ mode: exact }')
    expect(statusOf(await ask(gateway, QUESTION, headers))).toBe('miss')
    const reply = await ask(gateway, QUESTION, headers)
    expect([reply.status, statusOf(reply)]).toEqual([200, 'hit'])
    expect(Number(reply.headers['age'])).toBeLessThan(60)
  })

  test('tags are few, short and plain, so that a purge means what it says', async () => {
    const gateway = await running('{ mode: exact }')
    const tags = ['ok:1', ' spaced ', 'bad tag', '{"all":true}', 'x'.repeat(65), ...'abcdefgh'].join(',')
    await ask(gateway, QUESTION, { 'x-heddle-cache-tags': tags })
    const purge = async (tag: string): Promise<unknown> =>
      (await call(`${gateway.heddle.adminUrl}/admin/cache/purge`, { body: { tag } })).json()
    for (const tag of ['bad tag', '{"all":true}', 'x'.repeat(65), 'h', '*'])
      expect(await purge(tag)).toEqual({ purged: 0 })
    expect(await purge('spaced')).toEqual({ purged: 1 })
  })

  test('where callers have no say they have none', async () => {
    const gateway = await running('{ mode: exact, client_control: false }')
    await ask(gateway, QUESTION, { 'cache-control': 'no-store' })
    expect(statusOf(await ask(gateway, QUESTION, { 'cache-control': 'no-cache, max-age=0' }))).toBe('hit')
  })
})
