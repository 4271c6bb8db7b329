import { frozenFiles, readMounts } from '../config/mounts.ts'
import { inKubernetes } from '../mesh/detect.ts'

/** Files of the configuration that Kubernetes never changes are said once, or a change would be waited for in vain. */
export function warnOfFrozen(
  files: readonly string[],
  log: (level: 'warn', fields: object, message: string) => void,
): void {
  const frozen = inKubernetes(process.env) ? frozenFiles(files, readMounts()) : []
  if (frozen.length === 0) return
  log('warn', { files: frozen }, 'mounted with subPath: changes of these files never arrive, mount the volume')
}
