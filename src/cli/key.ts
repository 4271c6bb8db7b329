import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { formatLimit, parseLimit } from '../auth/limit-text.ts'
import { importIssuerKey, isSignedBy, mintSignedKey, readSignedKey } from '../auth/signed-key.ts'
import type { SignedKey } from '../auth/signed-key.ts'
import { hashKey, weakness } from '../config/auth-keys.ts'
import { readPublicKey } from '../config/auth-public-key.ts'
import { loadConfig } from '../config/index.ts'
import { modelFacts, PRESETS } from '../providers/index.ts'
import { EXIT, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { Io } from './io.ts'
import { revokeKey } from './key-revoke.ts'

const spec = COMMANDS.key

const SECOND = 1000
const UNITS: Readonly<Record<string, number>> = { m: 60 * SECOND, h: 3600 * SECOND, d: 86_400 * SECOND }
const MAX_DAYS = 3650

/** Lower-case, 43 characters of 32 random bytes behind it: long enough that nobody tries, easy to find in a leak. */
const STATIC_PREFIX = 'hs_'

const flag = (args: ParsedArgs, name: string): string | undefined => {
  const value = args.flags.get(name)
  return typeof value === 'string' ? value : undefined
}

const list = (args: ParsedArgs, name: string): readonly string[] | undefined =>
  flag(args, name)
    ?.split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

const needed = (args: ParsedArgs, name: string, why: string): string => {
  const value = flag(args, name)
  if (value === undefined) throw new UsageError(`\`--${name}\` is missing: ${why}`)
  return value
}

const readFile = (io: Io, path: string): string => {
  try {
    return io.read(path === '-' ? '-' : resolve(io.cwd, path))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new UsageError(`${path} cannot be read${code}`)
  }
}

/** `30d`, `12h`, `45m`, or a date; epoch ms. */
const toEnd = (text: string, now: number): number => {
  const [, amount, unit = ''] = /^(\d{1,5})([mhd])$/.exec(text) ?? []
  const end = amount === undefined ? Date.parse(text) : now + Number(amount) * (UNITS[unit] ?? 0)
  const form = amount !== undefined || /^\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?$/.test(text)
  if (!form || Number.isNaN(end)) throw new UsageError('`--expires` must be such as `30d`, `12h` or `2027-01-31`')
  if (end <= now) throw new UsageError('`--expires` is in the past')
  if (end > now + MAX_DAYS * 86_400 * SECOND) throw new UsageError(`\`--expires\` is more than ${MAX_DAYS} days away`)
  return end
}

const limitsOf = (args: ParsedArgs): readonly string[] | undefined =>
  list(args, 'limit')?.map((text) => {
    const rule = parseLimit(text)
    if (rule !== null) return formatLimit(rule)
    throw new UsageError(`\`${text}\` is no limit: write \`requests=60/1m\`, \`usd=50/month\` or \`concurrency=8\``)
  })

interface PrivateKey {
  readonly text: string
  readonly name: string | undefined
}

const readIssuerKey = (args: ParsedArgs, io: Io): PrivateKey => {
  const path = needed(args, 'issuer-key', 'the file that `heddle key keygen` has written')
  const text = readFile(io, path)
  let kid: unknown
  try {
    kid = (JSON.parse(text) as Readonly<Record<string, unknown>>)['kid']
  } catch {
    // PEM, which has no name in it.
  }
  return { text, name: flag(args, 'name') ?? (typeof kid === 'string' ? kid : undefined) }
}

/** Without what was not given. */
const given = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

const mint = (args: ParsedArgs, io: Io): number => {
  const { text, name } = readIssuerKey(args, io)
  if (name === undefined) throw new UsageError('`--name` is missing: the name of the issuer in the configuration')
  const now = Date.now()
  const body = given({
    id: flag(args, 'id') ?? `k-${randomBytes(6).toString('hex')}`,
    iat: Math.floor(now / SECOND),
    exp: Math.floor(toEnd(flag(args, 'expires') ?? '90d', now) / SECOND),
    ...Object.fromEntries(['owner', 'tenant', 'team', 'user', 'when'].map((field) => [field, flag(args, field)])),
    ...Object.fromEntries(
      ['roles', 'models', 'operations', 'providers', 'tools', 'regions'].map((field) => [field, list(args, field)]),
    ),
    no_retention: args.flags.has('no-retention') ? true : undefined,
    limits: limitsOf(args),
  })
  try {
    io.out(`${mintSignedKey(name, body, text)}\n`)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  io.err(`Its id is ${name}/${String(body['id'])}: needed to revoke it.\n`)
  return EXIT.ok
}

const keygen = (args: ParsedArgs, io: Io): number => {
  const name = needed(args, 'name', 'what the configuration calls the issuer')
  const path = needed(args, 'out', 'where to write the private key')
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) {
    throw new UsageError('`--name` must be 1 to 128 letters, digits, `.`, `_` or `-`')
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const text = `${JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: name })}\n`
  try {
    // Never over another key: what it has signed could not be made again.
    writeFileSync(resolve(io.cwd, path), text, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new UsageError(code === 'EEXIST' ? `${path} is there already` : `${path} cannot be written (${code})`)
  }
  const { kty, crv, x } = publicKey.export({ format: 'jwk' })
  io.out(
    `auth:\n  signed_keys:\n    issuers:\n      - name: ${name}\n` +
      `        public_key: { kty: ${kty ?? ''}, crv: ${crv ?? ''}, x: "${x ?? ''}" }\n`,
  )
  io.err(`The private key is in ${path}: who has it can mint keys. Only \`heddle key mint\` needs it.\n`)
  return EXIT.ok
}

const oneKey = (args: ParsedArgs, io: Io): string => {
  const argument = args.positional[1]
  if (argument === undefined) throw new UsageError('which key? `-` reads it from standard input')
  return argument === '-' ? readFile(io, '-').trim() : argument
}

interface Known {
  /** Name to JWK text; a public key given by itself stands for every name. */
  readonly keyOf: (issuer: string) => string | undefined
  readonly revoked: readonly string[]
}

const knownIssuers = (args: ParsedArgs, io: Io): Known | null => {
  const file = flag(args, 'public-key')
  if (file !== undefined) {
    const read = readPublicKey(readFile(io, file))
    if (!read.ok) throw new UsageError(`${file} ${read.message}`)
    return { keyOf: () => read.jwk, revoked: [] }
  }
  const source = flag(args, 'config')
  if (source === undefined) return null
  const options = { presets: PRESETS, facts: modelFacts, env: io.env }
  const signed = loadConfig(resolve(io.cwd, source), options).config.auth?.signedKeys
  const issuers = new Map(signed?.issuers.map(({ name, publicKey }) => [name, publicKey]))
  return { keyOf: (issuer) => issuers.get(issuer), revoked: signed?.revoked ?? [] }
}

const describe = (key: SignedKey, state: string): string => {
  const { grant, limits } = key
  const date = (seconds: number): string => new Date(seconds * SECOND).toISOString().replace('.000Z', 'Z')
  const all = (names: readonly string[] | null): string => (names === null ? 'all' : names.join(', ') || 'none')
  const rows: readonly (readonly [string, string])[] = [
    ['key', `${key.issuer}/${key.id}`],
    ['state', state],
    ['issued', date(key.issuedAt)],
    ['expires', date(key.expiresAt)],
    ['owner', key.owner],
    ['tenant', key.tenant],
    ['team', key.team],
    ['user', key.user],
    ['roles', key.roles.join(', ')],
    ['models', all(grant.models)],
    ['operations', all(grant.operations)],
    ['providers', all(grant.providers)],
    ['tools', all(grant.tools)],
    ['regions', all(grant.regions)],
    ['retention', grant.noRetention ? 'only where no prompts are kept' : 'any'],
    ['when', grant.when ?? ''],
    ['limits', limits.map(formatLimit).join(', ')],
  ]
  return rows.flatMap(([name, value]) => (value === '' ? [] : [`${name.padEnd(11)} ${value}\n`])).join('')
}

const inspect = (args: ParsedArgs, io: Io): number => {
  const read = readSignedKey(oneKey(args, io))
  if (!read.ok) {
    io.err(`heddle: not a signed key: ${read.fault}\n`)
    return EXIT.failure
  }
  const { key } = read
  const known = knownIssuers(args, io)
  const jwk = known?.keyOf(key.issuer)
  let fault = ''
  if (known !== null && jwk === undefined) fault = 'its issuer is not in the configuration'
  else if (jwk !== undefined && !isSignedBy(read, importIssuerKey(jwk))) fault = 'the signature does not fit'
  else if (known?.revoked.includes(`${key.issuer}/${key.id}`) === true) fault = 'revoked'
  else if (key.expiresAt * SECOND <= Date.now()) fault = 'expired'
  const good = known === null ? 'signature not checked: give `--public-key` or `--config`' : 'valid'
  const state = fault === '' ? good : `NOT VALID: ${fault}`
  if (args.flags.has('json')) {
    const { limits, ...rest } = key
    const verified = known === null ? null : fault === ''
    io.out(`${JSON.stringify({ ...rest, limits: limits.map(formatLimit), verified, state }, null, 2)}\n`)
  } else io.out(describe(key, state))
  return fault === '' ? EXIT.ok : EXIT.failure
}

const hashCommand = (io: Io): number => {
  const key = readFile(io, '-').replace(/\r?\n$/, '')
  const fault = weakness(key)
  if (fault !== undefined) {
    io.err(`heddle: the key ${fault}\n`)
    return EXIT.failure
  }
  io.out(`hash: sha256:${hashKey(key)}\n`)
  return EXIT.ok
}

const newCommand = (args: ParsedArgs, io: Io): number => {
  const key = STATIC_PREFIX + randomBytes(32).toString('base64url')
  const hash = `sha256:${hashKey(key)}`
  if (args.flags.has('json')) io.out(`${JSON.stringify({ key, hash })}\n`)
  else {
    io.out(`key:  ${key}\nhash: ${hash}\n`)
    io.err('The key goes to who calls and is shown once; the hash goes into the configuration.\n')
  }
  return EXIT.ok
}

const ACTIONS = ['new', 'hash', 'keygen', 'mint', 'inspect', 'revoke'] as const

/** `heddle key ACTION`: makes, shows and ends keys. Throws UsageError. */
export const keyCommand = (args: ParsedArgs, io: Io): number | Promise<number> => {
  const [action] = args.positional
  const more = action === 'inspect' || action === 'revoke'
  if (!more && args.positional.length > 1) throw new UsageError(`unexpected argument \`${args.positional[1] ?? ''}\``)
  switch (action) {
    case 'new':
      return newCommand(args, io)
    case 'hash':
      return hashCommand(io)
    case 'keygen':
      return keygen(args, io)
    case 'mint':
      return mint(args, io)
    case 'inspect':
      return inspect(args, io)
    case 'revoke':
      return revokeKey(oneKey(args, io), {
        config: flag(args, 'config'),
        admin: flag(args, 'admin'),
        token: textFlag(spec, args, 'admin-token', io.env),
        io,
      })
    default:
      throw new UsageError(`which action? One of ${ACTIONS.join(', ')}`)
  }
}
