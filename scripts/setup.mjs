// Installs the dependencies when they are missing or not those of the lockfile; otherwise says and does nothing.
// Runs on Node 20 with nothing installed. `--dev` also demands the development dependencies.
import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const needsDev = process.argv.includes('--dev')
const stampPath = join(root, 'node_modules', needsDev ? '.heddle-stamp-dev' : '.heddle-stamp')

const read = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null)

/** Optional and made for another machine, or (no machine named) below something that is: npm leaves both out. */
const mayBeMissing = (entry) =>
  entry.optional === true &&
  ((entry.os === undefined && entry.cpu === undefined) ||
    !(entry.os ?? [process.platform]).includes(process.platform) ||
    !(entry.cpu ?? [process.arch]).includes(process.arch) ||
    (entry.libc !== undefined && !entry.libc.includes(libc())))

const libc = () => (process.report?.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc')

/** npm notes what it installed in a lockfile of its own; someone may have run npm by hand, and then nothing is to do. */
const isInstalled = (lock) => {
  const hidden = read(join(root, 'node_modules', '.package-lock.json'))
  if (hidden === null) return false
  const installed = JSON.parse(hidden).packages
  return Object.entries(JSON.parse(lock).packages).every(([path, entry]) => {
    if (path === '' || (entry.dev && !needsDev)) return true
    if (installed[path] === undefined) return mayBeMissing(entry)
    return installed[path].version === entry.version
  })
}

const npm = (command) => {
  const args = [command, '--no-audit', '--no-fund', '--loglevel=error', '--include=optional']
  if (needsDev) args.push('--include=dev')
  const windows = process.platform === 'win32'
  // npm prints to stderr here: what a caller pipes from our stdout is ours alone.
  const options = { cwd: root, stdio: ['ignore', 2, 2], shell: windows }
  return spawnSync(windows ? 'npm.cmd' : 'npm', args, options).status === 0
}

const lock = read(join(root, 'package-lock.json'))
const digest = createHash('sha256')
  .update(lock ?? '')
  .digest('hex')
if (lock === null || read(stampPath) !== digest) {
  if (lock === null || !isInstalled(lock)) {
    process.stderr.write('heddle: installing dependencies...\n')
    if (!npm('ci') && !npm('install')) {
      process.stderr.write('heddle: npm could not install the dependencies; see above\n')
      process.exit(1)
    }
  }
  mkdirSync(dirname(stampPath), { recursive: true })
  writeFileSync(stampPath, digest)
}
