#!/usr/bin/env node
// Starts the command line under a Node that can run it. Plain JavaScript that Node 20 understands, and as little of it
// as possible: this file is on the way of every start.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import * as nodeModule from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { NODE_MAJOR, findNode, isCurrentNodeEnough } from './find-node.mjs'

/** Node and V8 flags that every Heddle process runs with. They need a process of their own, so each must earn its place. */
const NODE_FLAGS = [
  // V8 would let the young generation grow to 3 x 32 MB under load; what lives there is short-lived or a stream for
  // minutes. At 8 MB an open stream costs 24 KB instead of 35, a loaded process 40 MB less, and no CPU (docs/performance.md).
  '--max-semi-space-size=8',
]

const self = fileURLToPath(import.meta.url)
const root = dirname(dirname(self))

/** Set for the child only: it then ends when the launcher is gone, even if that was killed without a chance to forward. */
const LAUNCHED = 'HEDDLE_LAUNCHED'

const fail = (message) => {
  process.stderr.write(`heddle: ${message}\n`)
  process.exit(1)
}

/**
 * npm hands a signal to the shell that it starts scripts with, and that shell dies of it without telling anybody: a killed
 * `npm start` would leave the server behind. Only there, since elsewhere a lost parent may be what the caller wants.
 */
const onLostParent = (stop) => {
  if (process.env.npm_lifecycle_event !== 'start' || process.env.npm_package_name !== 'heddle') return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    stop()
  }, 250)
  timer.unref()
}

const runHere = async () => {
  onLostParent(() => process.kill(process.pid, 'SIGTERM'))
  if (process.env[LAUNCHED] === '1' && process.channel != null) {
    delete process.env[LAUNCHED]
    process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
    process.channel.unref()
  }
  // Inside the package, not in the shared temporary folder: whoever can write the cache can run code as us.
  // A read-only package only means a slower start.
  const inCheckout = existsSync(join(root, 'src', 'cli', 'entry.ts'))
  if (!process.env.NODE_DISABLE_COMPILE_CACHE) {
    const home = inCheckout ? join(root, 'node_modules', '.cache', 'heddle') : join(root, '.cache')
    nodeModule.enableCompileCache(process.env.NODE_COMPILE_CACHE || home)
    // A server may end by SIGKILL, and then never write what it compiled.
    setTimeout(() => nodeModule.flushCompileCache(), 5_000).unref()
  }
  const entry = inCheckout ? join(root, 'src', 'cli', 'entry.ts') : join(root, 'dist', 'cli', 'entry.js')
  await import(pathToFileURL(entry).href)
}

const runInChild = (binary) => {
  const args = [...NODE_FLAGS, self, ...process.argv.slice(2)]
  // Replaces this process where it can (Node 22.15 and later): no second process, signals need no forwarding.
  if (typeof process.execve === 'function' && process.platform !== 'win32') {
    process.execve(binary, [binary, ...args], process.env)
  }
  const env = { ...process.env, [LAUNCHED]: '1' }
  const child = spawn(binary, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env })
  const forward = (signal) => {
    // A terminal sends its interrupt to the whole process group: forwarding it too would count as the second, forcing one.
    if (signal === 'SIGINT' && process.stdin.isTTY) return
    child.kill(signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', ...(process.platform === 'win32' ? [] : ['SIGUSR2'])]
  for (const signal of signals) process.on(signal, forward)
  onLostParent(() => child.kill('SIGTERM'))
  child.on('error', (error) => fail(`cannot start ${binary}: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    for (const name of signals) process.removeListener(name, forward)
    process.kill(process.pid, signal)
    // A signal that this process survives (it may be ignored by inheritance): the shell's convention instead.
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100)
  })
}

if (isCurrentNodeEnough() && NODE_FLAGS.every((flag) => process.execArgv.includes(flag))) {
  await runHere()
} else {
  const binary = findNode()
  if (binary === null) {
    fail(
      `needs Node ${NODE_MAJOR} or newer (this is ${process.version}), and none came with its dependencies for ` +
        `${process.platform}-${process.arch}. Run \`npm ci\` with optional dependencies, or install Node ${NODE_MAJOR}.`,
    )
  } else {
    runInChild(binary)
  }
}
