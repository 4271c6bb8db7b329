import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { PRESETS } from '../providers/index.ts'
import { loadMounted } from './mounted.ts'
import { ConfigError } from './problem.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A volume as kubelet writes it. */
const volume = (names: readonly string[]) => {
  const path = mkdtempSync(join(tmpdir(), 'heddle-volume-'))
  folders.push(path)
  let generation = 0
  const put = (files: Readonly<Record<string, string>>): void => {
    const name = `..gen_${generation++}`
    mkdirSync(join(path, name))
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, name, file), text)
    symlinkSync(name, join(path, '..data_tmp'))
    renameSync(join(path, '..data_tmp'), join(path, '..data'))
    if (generation > 1) rmSync(join(path, `..gen_${generation - 2}`), { recursive: true })
  }
  for (const name of names) symlinkSync(join('..data', name), join(path, name))
  return { path, put }
}

const provider = (version: number, extra = ''): string =>
  `providers:\n  a: { type: openai_compatible, base_url: "https://v${version}.test", api_key: "\${file:key}"${extra} }\n`
const models = (version: number): string => `models:\n  m: a/v${version}\n`
const set = (version: number) => ({
  'a.yaml': provider(version),
  'b.yaml': models(version),
  key: `sk-version-${version}`,
})

const seen = (source: string, options: Parameters<typeof loadMounted>[1] = { presets: PRESETS }) => {
  const { config, files } = loadMounted(source, options)
  const [p] = config.providers
  return { versions: [p!.baseUrl, config.models[0]!.targets[0]!.model, p!.apiKey], files }
}

test('a set is read whole although it is replaced after each of its files', () => {
  const { path, put } = volume(['a.yaml', 'b.yaml', 'key'])
  put(set(1))
  let version = 1
  const options = {
    presets: PRESETS,
    // Between two files of one set another one appears, and the old one is gone: five times over.
    readFile: (file: string): string => {
      if (version < 6) put(set(++version))
      return readFileSync(file, 'utf8')
    },
  }
  const { versions, files } = seen(path, options)
  expect(version).toBe(6)
  expect(new Set(versions.map((text) => /\d$/.exec(text!.replace('.test', ''))?.[0]))).toEqual(new Set(['6']))
  expect(files).toEqual(['a.yaml', 'b.yaml', 'key'].map((name) => join(path, name)))
})

test('one file of a volume, and files of other volumes', () => {
  const secrets = volume(['key'])
  secrets.put({ key: 'sk-other-volume' })
  const { path, put } = volume(['heddle.yaml'])
  put({ 'heddle.yaml': provider(1).replace('${file:key}', `\${file:${join(secrets.path, 'key')}}`) + models(1) })
  const { versions, files } = seen(join(path, 'heddle.yaml'))
  expect(versions[2]).toBe('sk-other-volume')
  expect(files).toEqual([join(path, 'heddle.yaml'), join(secrets.path, 'key')])
})

test('problems stand where the operator looks for them', () => {
  const { path, put } = volume(['a.yaml', 'key'])
  put({ 'a.yaml': provider(1, ', nonsense: 1'), key: 'sk-1' })
  const problems = (): readonly { readonly file: string; readonly line: number }[] => {
    try {
      loadMounted(path, { presets: PRESETS })
      return []
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return error.problems
    }
  }
  expect(problems()).toMatchObject([{ file: join(path, 'a.yaml'), line: 2 }])
  expect(JSON.stringify(problems())).not.toContain('..gen_')
})

test('what is missing for good is reported, and not looked for without end', () => {
  const { path, put } = volume(['a.yaml'])
  put({ 'a.yaml': provider(1) })
  expect(() => loadMounted(path, { presets: PRESETS })).toThrow(/no such file/)
  expect(() => loadMounted(join(path, 'other.yaml'), { presets: PRESETS })).toThrow(/no such file or directory/)
})

test('a plain folder, a plain file and the environment are read as they are', () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-plain-'))
  folders.push(folder)
  writeFileSync(join(folder, 'a.yaml'), provider(1) + models(1))
  writeFileSync(join(folder, 'key'), 'sk-plain')
  expect(seen(folder).versions[2]).toBe('sk-plain')
  expect(seen(join(folder, 'a.yaml')).files).toEqual([join(folder, 'a.yaml'), join(folder, 'key')])
  expect(loadMounted(null, { presets: PRESETS, env: {} }).files).toEqual([])
})
