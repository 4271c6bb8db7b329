import { readFileSync } from 'node:fs'

/** In kubelet's folders of one state of a volume, which is never written again (kubernetes `atomic_writer.go`). */
const IN_ONE_STATE = /\/\.\.[^/]+(?:\/|$)/

/** proc(5) mountinfo writes blanks, tabs, line ends and backslashes in octal. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/**
 * Which of these files (absolute) are mounted so that they never change: kubelet binds a `subPath` once, to the state of
 * the volume at the start of the container. mountinfo: text of /proc/self/mountinfo.
 */
export function frozenFiles(files: readonly string[], mountinfo: string): string[] {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [, , , root, point] = line.split(' ')
    return root === undefined || point === undefined ? [] : [{ root: unescaped(root), point: unescaped(point) }]
  })
  return files.filter((file) =>
    mounts.some(
      ({ root, point }) =>
        file === point || (IN_ONE_STATE.test(root) && file.startsWith(`${point.replace(/\/$/, '')}/`)),
    ),
  )
}

/** Empty where there is no such file: not on Linux. */
export function readMounts(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return ''
  }
}
