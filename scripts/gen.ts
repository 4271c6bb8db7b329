// Writes what is generated: the JSON Schema and the reference pages. `--check` writes nothing and fails on a difference.
import { readFileSync, writeFileSync } from 'node:fs'
import { configJsonSchema } from '../src/config/index.ts'
import { PRESETS } from '../src/providers/index.ts'
import { configDoc } from './gen/config-doc.ts'
import { protoCode } from './gen/protos.ts'
import { cliDoc, errorsDoc, providersDoc } from './gen/tables.ts'
import { translationDoc } from './gen/translation-doc.ts'

const root = new URL('../', import.meta.url)

const modelTable = (): { readonly asOf: string; readonly count: number } => {
  const text = readFileSync(new URL('config/models.json', root), 'utf8')
  const { as_of: asOf, models } = JSON.parse(text) as { readonly as_of: string; readonly models: readonly unknown[] }
  return { asOf, count: models.length }
}

const PROTOS = 'src/protocol/grpc/gen'

/** Path from the root of the repository to text. */
export const generated = (): ReadonlyMap<string, string> => {
  const schema = configJsonSchema()
  return new Map([
    ...protoCode().map(([file, text]) => [`${PROTOS}/${file}`, text] as const),
    ['config/schema.json', `${JSON.stringify(schema, null, 2)}\n`],
    ['docs/reference/config.md', configDoc(schema)],
    ['docs/reference/cli.md', cliDoc()],
    ['docs/reference/errors.md', errorsDoc()],
    ['docs/reference/providers.md', providersDoc(PRESETS, modelTable())],
    ['docs/reference/translation.md', translationDoc()],
  ])
}

const read = (path: string): string | undefined => {
  try {
    return readFileSync(new URL(path, root), 'utf8')
  } catch {
    return undefined
  }
}

/** Files whose text is not what would be generated now. */
export const drifted = (): readonly string[] =>
  [...generated()].filter(([path, text]) => read(path) !== text).map(([path]) => path)

const main = (argv: readonly string[]): void => {
  const paths = drifted()
  if (!argv.includes('--check')) {
    for (const [path, text] of generated()) if (paths.includes(path)) writeFileSync(new URL(path, root), text)
  }
  const verb = argv.includes('--check') ? 'out of date' : 'written'
  for (const path of paths) process.stdout.write(`${verb}: ${path}\n`)
  if (argv.includes('--check') && paths.length > 0) {
    process.stderr.write('run `npm run gen` and commit the result\n')
    process.exitCode = 1
  }
}

if (import.meta.main) main(process.argv.slice(2))
