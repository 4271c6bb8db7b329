// Runs a TypeScript file of this repository under the project's Node: `node scripts/run.mjs FILE [arguments]`.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { findNode } from '../bin/find-node.mjs'

const node = findNode()
if (node === null) {
  process.stderr.write('heddle: no Node 26 found; run `npm ci` first\n')
  process.exit(1)
}
const child = spawn(node, process.argv.slice(2), { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 128 + (constants.signals[signal] ?? 0)))
