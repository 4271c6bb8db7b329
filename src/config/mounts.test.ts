import { expect, test } from 'vitest'
import { frozenFiles } from './mounts.ts'

const POD = '/var/lib/kubelet/pods/0f/volumes/kubernetes.io~configmap'
const mount = (root: string, point: string): string => `700 690 8:1 ${root} ${point} ro,relatime - ext4 /dev/sda1 rw`

test('a file that is a mount of its own, or lies in one state of a volume, never changes', () => {
  const mounts = [
    '600 1 0:50 / / rw - overlay overlay rw',
    mount(`${POD}/conf/..2026_11_22_10_00_00.1/heddle.yaml`, '/etc/heddle.yaml'),
    mount(`${POD}/conf/..2026_11_22_10_00_00.1/sub`, '/etc/parts'),
    mount(`${POD}/whole`, '/etc/heddle'),
    mount('/host/my\\040keys/a', '/etc/my\\040keys/a'),
  ].join('\n')
  const files = ['/etc/heddle.yaml', '/etc/parts/a.yaml', '/etc/heddle/heddle.yaml', '/etc/my keys/a', '/etc/partsy']
  expect(frozenFiles(files, mounts)).toEqual(['/etc/heddle.yaml', '/etc/parts/a.yaml', '/etc/my keys/a'])
})

test('without knowledge of mounts nobody is warned', () => {
  expect(frozenFiles(['/etc/heddle.yaml'], '')).toEqual([])
})
