import { readFileSync, readdirSync } from 'node:fs'

/** Linux reports process times in ticks of 1/100 s whatever the kernel's own rate is (proc(5), USER_HZ). */
const TICK_MICROS = 10_000

const statFields = (pid: number): string[] | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the command in brackets and may hold anything, brackets and spaces included.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** The process and everything below it. */
export const processTree = (root: number): number[] => {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid)) continue
    const parent = Number(statFields(pid)?.[1] ?? -1)
    children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/** User and system time that the tree has used since it began, ended and waited-for children included, microseconds. */
export const cpuMicros = (root: number): number => {
  let ticks = 0
  for (const pid of processTree(root)) {
    const fields = statFields(pid)
    if (fields === null) continue
    for (const index of [11, 12, 13, 14]) ticks += Number(fields[index] ?? 0)
  }
  return ticks * TICK_MICROS
}

/** Resident memory of the tree, KiB. Pages shared between its processes count for each. */
export const residentKb = (root: number): number => {
  let total = 0
  for (const pid of processTree(root)) {
    try {
      total += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
    } catch {
      // It ended between the two reads.
    }
  }
  return total
}
