// What the documents name is there, and what the sources show to users is documented.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PRESETS } from '../../src/providers/index.ts'

const root = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const PAGES = globSync(['*.md', 'docs/**/*.md', 'bench/*.md', 'examples/**/*.md'], { cwd: root })
const EXAMPLES = globSync('examples/**/*.yaml', { cwd: root })
const SOURCES = globSync('src/**/*.ts', { cwd: root }).filter((path) => !/\.test\.ts$|-fixture\.ts$/.test(path))

/** Distinct first groups of all matches, sorted. */
const namesIn = (text: string, pattern: RegExp): readonly string[] =>
  [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))].sort()
const withoutCode = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '')
const withoutLinks = (text: string): string => text.replace(/`/g, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')

/** Anchors as GitHub makes them of headings. */
const anchorsOf = (page: string): readonly string[] =>
  namesIn(withoutCode(page), /^#{1,6} +(.+)$/gm).map((heading) =>
    withoutLinks(heading)
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )

interface Link {
  readonly target: string
  readonly anchor: string
}

const linksOf = (page: string): readonly Link[] =>
  [...withoutCode(page).matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)]
    .map(([, target = '', anchor = '']) => ({ target, anchor }))
    .filter(({ target }) => !/^[a-z]+:/.test(target))

const brokenLinks = (path: string, page: string): readonly string[] =>
  linksOf(page)
    .filter(({ target, anchor }) => {
      const file = target === '' ? path : join(dirname(path), target)
      if (!existsSync(join(root, file))) return true
      return anchor !== '' && !anchorsOf(target === '' ? page : read(file)).includes(anchor)
    })
    .map(({ target, anchor }) => `${target}#${anchor}`)

/** `app.get('/path'` and `app.post<Types>('/path'`. */
const ROUTE = /app\.(get|post|delete)(?:<[^(]*>)?\(\s*'([^']+)'/g

describe('links', () => {
  test('the pages are found, and hold links', () => {
    expect(PAGES).toEqual(expect.arrayContaining(['README.md', join('docs', 'reference', 'config.md')]))
    expect(PAGES.flatMap((path) => linksOf(read(path))).length).toBeGreaterThan(20)
    expect(EXAMPLES.length).toBeGreaterThan(3)
  })

  test('a broken one is seen', () => {
    const page = '# A `b`: c\n[x](README.md) [x](#a-b-c) [x](https://x.example/y)\n```\n[x](none.md)\n```\n'
    expect(brokenLinks('README.md', page)).toEqual([])
    expect(brokenLinks('README.md', `${page}[x](none.md) [x](#none) [x](README.md#none)`)).toHaveLength(3)
  })

  test.each(PAGES)('%s', (path) => {
    expect(brokenLinks(path, read(path))).toEqual([])
  })

  test.each(PAGES)('%s names files that exist', (path) => {
    const named = namesIn(read(path), /`((?:src|docs|test|bench|examples|scripts|config|bin)\/[\w./-]+)`/g)
    expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([])
  })

  test.each(EXAMPLES)('%s names a schema and files that exist', (path) => {
    const text = read(path)
    const [schema] = namesIn(text, /^# yaml-language-server: \$schema=(\S+)$/gm)
    expect(existsSync(join(root, dirname(path), schema ?? 'none'))).toBe(true)
    const named = namesIn(text, /\b(examples\/[\w.-]+)/g)
    expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([])
  })
})

describe('commands', () => {
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
  const all = [...PAGES, ...EXAMPLES].map(read).join('\n')

  test('every `npm run` that is named exists', () => {
    const named = namesIn(all, /\bnpm (?:run|run-script)(?: -s| --silent)? ([a-z][\w:-]*)/g)
    expect(named).toContain('bench')
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
  })

  test('every script file that a script runs exists', () => {
    const files = namesIn(Object.values(scripts).join('\n'), /\b((?:scripts|bin|bench|test)\/[\w./-]+)/g)
    expect(files.length).toBeGreaterThan(3)
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([])
  })
})

describe('what operators and clients see', () => {
  const page = read('docs/reference/observability.md')
  const sources = SOURCES.map(read).join('\n')
  const section = (from: string, to: string): string => page.slice(page.indexOf(from), page.indexOf(to))

  test('the metrics are those in the sources', () => {
    const registered = namesIn(sources, /'((?:heddle|process)_[a-z0-9_]+)'/g)
    expect(registered.length).toBeGreaterThan(15)
    expect(namesIn(page, /`((?:heddle|process)_[a-z0-9_]+)`/g)).toEqual(registered)
  })

  test('the headers are those in the sources', () => {
    const used = namesIn(sources, /['`"](x-heddle-[a-z-]+)['`"]/g)
    expect(used.length).toBeGreaterThan(5)
    expect(namesIn(page, /`(x-heddle-[a-z-]+)`/g)).toEqual(used)
    const written = namesIn(sources, /(?:headers\.push\(|^ *)'(x-heddle-[a-z-]+)',/gm)
    expect(written.length).toBeGreaterThan(3)
    const answered = namesIn(section('## Response headers', '## Request headers'), /`(x-heddle-[a-z-]+)`/g)
    expect(written.filter((name) => !answered.includes(name))).toEqual([])
  })

  test('the admin listener is where the schema puts it, with the paths that it serves', () => {
    const port = /\| `server\.admin_port` \|[^|]*\| `(\d+)` \|/.exec(read('docs/reference/config.md'))?.[1]
    expect(page).toContain(`## Admin listener (127.0.0.1:${port})`)
    // The probes of the main port stand in a section of their own.
    const admin = page.slice(page.indexOf('## Admin listener'))
    const served = [...(read('src/admin/listener.ts') + read('src/admin/accounts.ts')).matchAll(ROUTE)]
    expect(namesIn(admin, /`((?:GET|POST|DELETE) \/[a-z/:]+)`/g)).toEqual(
      served.map(([, method = '', path = '']) => `${method.toUpperCase()} ${path}`).sort(),
    )
  })

  test('the README counts the providers that are known by name', () => {
    const count = Object.keys(PRESETS).length
    expect(read('README.md')).toContain(`[${count} known by name](docs/reference/providers.md)`)
  })
})
