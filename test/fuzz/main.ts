// npm run fuzz -- [--minutes N] [--seed N] [framing|bodies|answers|identity|translated]: new seeds each time unless one is given.
import { parseArgs } from 'node:util'
import { fuzz, type FuzzKind } from './run.ts'
import { fuzzTranslated } from './translated.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' } },
})
const all: readonly (FuzzKind | 'translated')[] = ['framing', 'bodies', 'answers', 'identity', 'translated']
const kinds = all.filter((kind) => positionals.length === 0 || positionals.includes(kind))
const from = values.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(values.seed)
const msEach = (Number(values.minutes) * 60_000) / kinds.length
let failed = false
for (const kind of kinds) {
  const end = performance.now() + msEach
  const more = (): boolean => performance.now() < end
  const { cases, failures } = await (kind === 'translated' ? fuzzTranslated(from, more) : fuzz(kind, from, more))
  process.stdout.write(
    `${kind}: ${cases} cases from seed ${from}, ${failures.length} failures\n${failures.map((f) => `  ${f}\n`).join('')}`,
  )
  failed ||= failures.length > 0
}
process.exitCode = failed ? 1 : 0
