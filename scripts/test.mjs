// Runs vitest under the project's Node and ends with the one line that people and CI read: `N passed, N failed, N skipped`.
// Usage: node scripts/test.mjs [vitest arguments], such as `--project unit` or a file name.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode } from '../bin/find-node.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** A file that did not load holds no tests in the report, and an error outside of tests none at all: each counts as a failure. */
const count = (report, exitCode) => {
  if (report === null) return { passed: 0, failed: 1, skipped: 0 }
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failed = report.numFailedTests + brokenFiles
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

const readReport = (path) => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

const node = findNode()
if (node === null) {
  process.stderr.write('heddle: no Node 26 found; run `npm ci` first\n0 passed, 1 failed, 0 skipped\n')
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'heddle-test-'))
const reportPath = join(folder, 'report.json')
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`]
const child = spawn(node, [vitest, 'run', ...reporters, ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))

child.on('close', (code) => {
  const report = readReport(reportPath)
  rmSync(folder, { recursive: true, force: true })
  const { passed, failed, skipped } = count(report, code ?? 1)
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`, () =>
    process.exit(failed > 0 ? code || 1 : (code ?? 1)),
  )
})
