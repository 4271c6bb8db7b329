/** docs/reference/translation.md out of the tables that the codecs themselves go by. */
import type { AnswerFeature, ClientDialect, Feature, Support, Wire } from '../../src/contracts/dialect.ts'
import { FEATURES } from '../../src/protocol/canonical/features.ts'
import { clientDialect } from '../../src/protocol/client-dialects.ts'
import { OPERATIONS, WIRES } from '../../src/protocol/operations.ts'
import { wireOf } from '../../src/protocol/wires.ts'

const TITLES: Readonly<Record<string, string>> = {
  'openai.chat': 'OpenAI Chat Completions',
  'openai.completions': 'OpenAI Completions (legacy)',
  'openai.responses': 'OpenAI Responses',
  'anthropic.messages': 'Anthropic Messages',
  'gemini.generate': 'Gemini',
  'ollama.chat': 'Ollama',
  'bedrock.converse': 'Bedrock Converse',
  'cohere.chat': 'Cohere v2',
  'tgi.generate': 'TGI, native',
}

const ANSWERS: Readonly<Record<AnswerFeature, string>> = {
  tool_calls: 'Tool calls',
  tool_custom: 'Calls with free text',
  reasoning: 'Reasoning',
  reasoning_proof: 'Signed or encrypted reasoning',
  refusal: 'Refusals',
  citations: 'Citations',
  logprobs: 'Probabilities of tokens',
  choices: 'Several answers',
  stop_sequence: 'Which stop sequence it was',
  cached_tokens: 'Tokens read from a prompt cache',
  cache_write_tokens: 'Tokens written to it',
  reasoning_tokens: 'Tokens of reasoning',
}

const features = Object.keys(FEATURES) as Feature[]
const clients: readonly ClientDialect[] = Object.values(OPERATIONS).flatMap(({ dialect }) =>
  dialect === null ? [] : [clientDialect(dialect)],
)
const wires: readonly Wire[] = WIRES.map((dialect) => wireOf(dialect))

const titleOf = (dialect: string): string => TITLES[dialect] ?? dialect
const cell = (text: string): string => text.replaceAll('|', String.raw`\|`)
const row = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')

const mark = (support: Support): string => (support === 'yes' ? 'yes' : support === 'no' ? '–' : 'mapped')
const note = (support: Support): string => (typeof support === 'string' ? '' : support.mapped)

/** What becomes of one feature on the way from a client to a wire; null = it arrives as it is, or the client cannot say it. */
function fate(client: ClientDialect, wire: Wire, feature: Feature): readonly [string, string] | null {
  if (client.speaks[feature] === 'no') return null
  const support = wire.carries[feature]
  if (support === 'yes') return null
  if (support !== 'no') return ['mapped', support.mapped]
  return FEATURES[feature].kind === 'hint'
    ? ['left behind', 'Told in `x-heddle-dropped`.']
    : [
        'refused',
        `\`unsupported_parameter\`, \`${FEATURES[feature].param}\`; left behind with \`unsupported: drop\` where the question stays one.`,
      ]
}

function pair(client: ClientDialect, wire: Wire): string {
  const title = `#### ${titleOf(client.dialect)} → ${titleOf(wire.dialect)}`
  if (client.dialect === wire.dialect)
    return `${title}\n\nThe same dialect: a provider that speaks it gets the client’s bytes, and the client the provider’s.`
  const rows = features.flatMap((feature) => {
    const found = fate(client, wire, feature)
    return found === null ? [] : [[FEATURES[feature].title, ...found]]
  })
  return `${title}\n\n${rows.length === 0 ? 'All that the client can say arrives.' : table(['What', 'Becomes', 'How'], rows)}`
}

const overview = (): string =>
  table(
    ['', ...wires.map((wire) => titleOf(wire.dialect))],
    features.map((feature) => [FEATURES[feature].title, ...wires.map((wire) => mark(wire.carries[feature]))]),
  )

const speaking = (): string =>
  table(
    ['', ...clients.map((client) => titleOf(client.dialect))],
    features.map((feature) => [FEATURES[feature].title, ...clients.map((client) => mark(client.speaks[feature]))]),
  )

const taking = (): string =>
  table(
    ['', ...clients.map((client) => titleOf(client.dialect))],
    (Object.keys(ANSWERS) as AnswerFeature[]).map((feature) => [
      ANSWERS[feature],
      ...clients.map(({ takes }) => note(takes[feature]) || mark(takes[feature])),
    ]),
  )

export const translationDoc = (): string =>
  `# Translation between dialects

Generated from the tables that the code goes by, by \`npm run gen\`; do not edit. A client in any of the dialects of the first
table reaches any backend of the second. Where both speak the same one, nothing is translated: the bytes pass, with fields and
events that Heddle has never heard of. Elsewhere each thing that a client asks for arrives as it is, is mapped to what does
nearly the same, or cannot be said: then a hint is left behind and told of in the header \`x-heddle-dropped\`, and anything
else is refused with \`unsupported_parameter\`, unless the model says \`unsupported: drop\`. Fields that nobody here knows are
left behind and told of.

Signatures, encrypted reasoning and thought signatures are carried byte for byte, and go back only to a wire of the dialect
that made them. A client of another dialect gets them with the name of their maker before them (\`hdl1.\`), wherever its own
dialect keeps such things.

## What clients can say

${speaking()}

## What backends can be told

${overview()}

## What clients can be told

${taking()}

## Pair by pair

Only what does not arrive as it is.

${clients.flatMap((client) => [`### From ${titleOf(client.dialect)}`, ...wires.map((wire) => pair(client, wire))]).join('\n\n')}
`
