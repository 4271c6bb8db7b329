// Everything a machine can say about the sources without running them: format, lint, types, unused code, generated files.
// Usage: node scripts/check.mjs [format|lint|types|unused|gen ...]; none named = all. The last line says what failed.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode } from '../bin/find-node.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const node = findNode() ?? process.execPath
const bin = (path) => join(root, 'node_modules', path)

const STEPS = {
  format: [bin('oxfmt/bin/oxfmt'), '--check'],
  lint: [bin('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings'],
  types: [bin('typescript/bin/tsc'), '-p', 'tsconfig.json'],
  unused: [bin('knip/bin/knip.js'), '--no-progress'],
  ...(existsSync(join(root, 'scripts', 'gen.ts')) ? { gen: [join(root, 'scripts', 'gen.ts'), '--check'] } : {}),
}

const run = (name) =>
  new Promise((resolve) => {
    const started = performance.now()
    const child = spawn(node, STEPS[name], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.on('close', (code) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      process.stdout.write(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`)
      if (code !== 0) process.stdout.write(`${output.trimEnd()}\n\n`)
      resolve(code === 0 ? null : name)
    })
  })

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in STEPS))
if (unknown.length > 0) {
  process.stderr.write(`no such check: ${unknown.join(', ')}; there are ${Object.keys(STEPS).join(', ')}\n`)
  process.exit(2)
}
const failed = (await Promise.all((asked.length > 0 ? asked : Object.keys(STEPS)).map(run))).filter(Boolean)
process.stdout.write(failed.length === 0 ? 'all checks passed\n' : `checks failed: ${failed.join(', ')}\n`)
process.exit(failed.length === 0 ? 0 : 1)
