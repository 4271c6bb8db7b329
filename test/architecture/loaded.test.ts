// What a process loads before it has read its configuration: off means absent.
import { execFileSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..', '..')

/** Addresses of all modules that importing a file loads. */
const loadedBy = (file: string): string[] => {
  const script = `
    import { registerHooks } from 'node:module'
    const seen = []
    registerHooks({ load: (url, context, next) => (seen.push(url), next(url, context)) })
    await import(${JSON.stringify(pathToFileURL(join(root, file)).href)})
    process.stdout.write(JSON.stringify(seen))
    process.exit(0)`
  const text = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' })
  return JSON.parse(text) as string[]
}

const packagesIn = (urls: readonly string[]): string[] =>
  [...new Set(urls.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []))].toSorted()

test('serving loads no schema, no store, no token library and no admin listener until they are needed', () => {
  const urls = loadedBy('src/server.ts')
  expect(packagesIn(urls)).toEqual(['@marcbachmann/cel-js', 'undici'])
  const ours = urls.filter((url) => url.includes('/src/')).map((url) => url.slice(url.indexOf('/src/') + 1))
  expect(ours.length).toBeGreaterThan(50)
  const unwanted =
    /src\/config\/(?:schema|load|normalise)|src\/auth\/(?:jwt|key-set|authenticator)|src\/(?:sim|store|mcp)\//
  expect(ours.filter((path) => unwanted.test(path))).toEqual([])
  expect(
    ours.filter((path) => /src\/(?:ratelimit|usage)\/(?:redis|ledger|limiter|fair|otlp|file|recorder)/.test(path)),
  ).toEqual([])
})
