import { resolve } from 'node:path'
import { stringify } from 'yaml'
import { peerFromCertificate } from '../auth/peer.ts'
import { ConfigError, loadConfig } from '../config/index.ts'
import { formatProblem } from '../config/problem.ts'
import { didYouMean } from '../config/nearest.ts'
import type { HeddleConfig } from '../contracts/config.ts'
import type { MeshKind } from '../contracts/config-mesh.ts'
import { askMesh, detectMesh } from '../mesh/detect.ts'
import { fault, FINDINGS, ok, type Finding } from '../mesh/doctor/finding.ts'
import { Echo, pathFindings } from '../mesh/doctor/path.ts'
import { serviceFindings } from '../mesh/doctor/services.ts'
import { settingFindings } from '../mesh/doctor/settings.ts'
import { RENDER_TARGETS, type RenderTarget } from '../mesh/render/index.ts'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'
import { EXIT, numberFlag, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import { findConfig } from './find-config.ts'
import type { Io } from './io.ts'

/** A proxy that starts beside us is looked for, ms. */
const LOOK_MS = 2000

const load = (args: ParsedArgs, io: Io): HeddleConfig => {
  const source = findConfig(textFlag(COMMANDS.mesh, args, 'config', io.env), io)
  const options = { presets: PRESETS, facts: modelFacts, prices: modelPrices, env: io.env }
  return loadConfig(source === null ? null : resolve(io.cwd, source), options).config
}

const isTarget = (text: string): text is RenderTarget => Object.hasOwn(RENDER_TARGETS, text)

function render(args: ParsedArgs, io: Io): number {
  const target = textFlag(COMMANDS.mesh, args, 'target', io.env)
  const known = Object.keys(RENDER_TARGETS)
  if (target === undefined) throw new UsageError(`\`--target\` is needed: ${known.join(', ')}`)
  if (!isTarget(target)) throw new UsageError(`\`${target}\` is no target; ${known.join(', ')} are`)
  const place = {
    name: textFlag(COMMANDS.mesh, args, 'name', io.env) ?? 'heddle',
    namespace: textFlag(COMMANDS.mesh, args, 'namespace', io.env) ?? 'heddle',
    serviceAccount: textFlag(COMMANDS.mesh, args, 'service-account', io.env) ?? 'heddle',
  }
  const { manifests, patch, notes } = RENDER_TARGETS[target](load(args, io), place)
  if (args.flags.has('json')) {
    io.out(`${JSON.stringify({ target, manifests, patch, notes }, null, 2)}\n`)
    return EXIT.ok
  }
  if (args.flags.has('patch')) {
    io.out(stringify(patch, { lineWidth: 0 }))
    return EXIT.ok
  }
  const header = notes.map((note) => `# ${note}\n`).join('')
  io.out(header + manifests.map((manifest) => `---\n${stringify(manifest, { lineWidth: 0 })}`).join(''))
  return EXIT.ok
}

const MARKS: Readonly<Record<Finding['state'], string>> = { fault: 'FAULT', warning: 'warn', ok: 'ok', skipped: '-' }

function report(findings: readonly Finding[], kind: MeshKind, args: ParsedArgs, io: Io): number {
  const faults = findings.filter(({ state }) => state === 'fault')
  if (args.flags.has('json')) io.out(`${JSON.stringify({ ok: faults.length === 0, mesh: kind, findings }, null, 2)}\n`)
  else {
    const width = Math.max(...Object.keys(FINDINGS).map((id) => id.length))
    for (const { id, state, message, advice } of findings) {
      io.out(`${MARKS[state].padEnd(6)} ${id.padEnd(width)}  ${message}\n`)
      if (advice !== '') io.out(`${' '.repeat(8 + width)} -> ${advice}\n`)
    }
    const skipped = findings.filter(({ state }) => state === 'skipped').length
    io.out(`\n${faults.length} faults, ${skipped} not looked at\n`)
  }
  return faults.length === 0 ? EXIT.ok : EXIT.failure
}

async function doctor(args: ParsedArgs, io: Io): Promise<number> {
  const via = textFlag(COMMANDS.mesh, args, 'via', io.env) ?? null
  if (via !== null && !/^https?:$/.test(URL.canParse(via) ? new URL(via).protocol : ''))
    throw new UsageError('`--via` must be an http or https URL')
  const echoPort = numberFlag(COMMANDS.mesh, args, 'echo-port', io.env, { min: 0, max: 65_535 })
  let config: HeddleConfig
  try {
    config = load(args, io)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const faults = error.problems.map((problem) => {
      const id = /port/.test(problem.path) && / uses port /.test(problem.message) ? 'reserved-port' : 'config'
      return fault(id, formatProblem(problem), 'Correct the configuration there.')
    })
    return report(faults, 'none', args, io)
  }
  const { kind: configured } = config.mesh
  const found = await detectMesh({ env: { ...io.env, KUBERNETES_SERVICE_HOST: 'asked' }, timeoutMs: LOOK_MS })
  const kind = configured === 'auto' ? found.kind : configured
  const detected = found.proxy === null ? await askMesh(kind, { env: io.env }) : found
  const echo = new Echo()
  if (via !== null) await echo.listen(echoPort ?? 0, textFlag(COMMANDS.mesh, args, 'echo-host', io.env) ?? '0.0.0.0')
  try {
    const findings = [
      ok('config', `usable, ${config.hash}`),
      ...settingFindings({ config, env: io.env, detected, kind }),
      ...(await serviceFindings({ config, env: io.env, read: peerFromCertificate })),
      ...(await pathFindings({ config, kind, via, echo })),
    ]
    return report(findings, kind, args, io)
  } finally {
    if (via !== null) await echo.close()
  }
}

/** `heddle mesh doctor` and `heddle mesh render`. */
export const meshCommand = async (args: ParsedArgs, io: Io): Promise<number> => {
  const [action] = args.positional
  if (action === 'doctor') return doctor(args, io)
  if (action === 'render') return render(args, io)
  throw new UsageError(
    action === undefined
      ? '`heddle mesh` wants an action: doctor or render'
      : `\`${action}\` is no action of \`heddle mesh\`${didYouMean(action, ['doctor', 'render'])}`,
  )
}
