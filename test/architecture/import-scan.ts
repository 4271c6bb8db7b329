import { dirname, posix, relative, sep } from 'node:path'
import { FOLDERS, PACKAGE_HOMES, ROOT, mayImport } from './rows.ts'

/** Static, type-only, re-exporting, side-effect and dynamic imports, and `import('x')` in types. */
const SPECIFIER =
  /(?:^|[;\n}])\s*(?:import|export)\s[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|(?:^|[;\n}])\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"`]([^'"`]+)['"`]/g

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, '$1')

export const importsOf = (text: string): string[] =>
  [...withoutComments(text).matchAll(SPECIFIER)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')

const folderOf = (path: string): string => {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : ROOT
}

/** What is wrong with the imports of one production file; `path` is relative to the repository, such as `src/auth/key.ts`. */
export const judgeImports = (path: string, text: string): string[] => {
  const file = path.split(sep).join('/')
  const from = folderOf(file)
  if (from !== ROOT && !FOLDERS.includes(from)) return [`${file}: src/${from} is in no row`]
  const problems: string[] = []
  for (const specifier of importsOf(text)) {
    if (specifier.startsWith('.')) {
      const target = posix.join(dirname(file), specifier)
      if (!target.startsWith('src/')) {
        if (target !== 'package.json') problems.push(`${file}: ${specifier} leaves src`)
      } else if (!mayImport(from, folderOf(target))) {
        problems.push(`${file}: src/${from} may not import ${relative('src', target)}`)
      }
      continue
    }
    const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : specifier.split('/')[0]
    const homes = PACKAGE_HOMES[name ?? '']
    if (from !== ROOT && homes !== undefined && !homes.includes(from))
      problems.push(`${file}: src/${from} may not use ${name}`)
  }
  return problems
}
