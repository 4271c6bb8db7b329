// `heddle ... | head`: who has read enough closes the pipe, which is nobody's fault.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ENTRY = fileURLToPath(new URL('../../src/cli/entry.ts', import.meta.url))

test('output that nobody reads any more ends a command without a fault', async () => {
  const child = spawn(process.execPath, [ENTRY, 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = await new Promise((resolve) => void child.on('close', resolve))
  expect([code, said]).toEqual([0, ''])
})
