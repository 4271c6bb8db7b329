import { readdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { fetchSmall } from '../core/http-client.ts'
import { EXIT, UsageError } from './command.ts'
import type { Io } from './io.ts'

const SIGNED = ['auth', 'signed_keys']
const REVOKED = [...SIGNED, 'revoked']

export interface RevokeOptions {
  /** File or folder. */
  readonly config: string | undefined
  /** Where the admin API listens. */
  readonly admin: string | undefined
  readonly token: string | undefined
  readonly io: Io
}

const filesOf = (source: string): readonly string[] => {
  try {
    if (!statSync(source).isDirectory()) return [source]
    return readdirSync(source)
      .filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.'))
      .sort()
      .map((name) => join(source, name))
  } catch {
    throw new UsageError(`${source} cannot be read`)
  }
}

/** The file's text with the id in its list; null = it is there already. Throws when the file cannot be kept as it is. */
const withRevoked = (doc: Document, id: string): string | null => {
  const before: unknown = doc.toJS()
  const list: unknown = doc.getIn(REVOKED)
  if (list === undefined || list === null) doc.setIn(REVOKED, doc.createNode([id], { flow: false }))
  else {
    const ids = (doc.toJS() as { auth: { signed_keys: { revoked: unknown } } }).auth.signed_keys.revoked
    if (!Array.isArray(ids)) throw new UsageError('`auth.signed_keys.revoked` is no list')
    if (ids.includes(id)) return null
    doc.addIn(REVOKED, id)
  }
  const text = doc.toString({ lineWidth: 0 })
  // What is written must say what was read, and one thing more.
  const after = parseDocument(text)
  const expected = structuredClone(before) as { auth: { signed_keys: { revoked?: string[] | null } } }
  expected.auth.signed_keys.revoked = [...(expected.auth.signed_keys.revoked ?? []), id]
  if (after.errors.length > 0 || !isDeepStrictEqual(after.toJS(), expected)) {
    throw new UsageError(
      'the file has a form that cannot be changed safely: add the id to `auth.signed_keys.revoked` by hand',
    )
  }
  return text
}

const inFile = (id: string, source: string, io: Io): number => {
  for (const file of filesOf(resolve(io.cwd, source))) {
    const doc = parseDocument(io.read(file))
    if (doc.errors.length > 0) throw new UsageError(`${file} is no valid YAML: see \`heddle check\``)
    if (!doc.hasIn(SIGNED)) continue
    const text = withRevoked(doc, id)
    if (text === null) {
      io.out(`${id} is revoked in ${file} already.\n`)
      return EXIT.ok
    }
    try {
      // Whole or not at all: a gateway may be reading it.
      const temporary = `${file}.${process.pid}.tmp`
      writeFileSync(temporary, text, { mode: statSync(file).mode })
      renameSync(temporary, file)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
      io.err(
        `heddle: ${file} cannot be written (${code}): add \`${id}\` to \`auth.signed_keys.revoked\` where it comes from\n`,
      )
      return EXIT.failure
    }
    io.out(`${id} is revoked in ${file}; gateways that watch it take it up by themselves.\n`)
    return EXIT.ok
  }
  throw new UsageError(`${source} has no \`auth.signed_keys\``)
}

const atGateway = async (id: string, admin: string, { token, io }: RevokeOptions): Promise<number> => {
  if (!URL.canParse(admin)) throw new UsageError('`--admin` must be a URL such as http://127.0.0.1:8081')
  const url = new URL('/admin/keys/revoked', admin).href
  const headers = {
    'content-type': 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  }
  let cause: string
  try {
    const { status } = await fetchSmall(url, { method: 'POST', headers, body: JSON.stringify({ id }) })
    if (status >= 200 && status < 300) {
      io.out(
        `${id} is revoked at ${admin}. Add it to \`auth.signed_keys.revoked\` too, so that a new gateway knows it.\n`,
      )
      return EXIT.ok
    }
    cause = `answered ${status}${status === 401 ? ': set HEDDLE_ADMIN_TOKEN' : ''}`
  } catch (error) {
    cause = error instanceof Error ? error.message : 'failed'
  }
  io.err(
    `heddle: ${admin} ${cause}\nThe key is still valid. Revoke it in the file instead: ` +
      `\`heddle key revoke ${id} --config heddle.yaml\`, or add it to \`auth.signed_keys.revoked\` by hand.\n`,
  )
  return EXIT.failure
}

/** Ends a key in the configuration's file, at a running gateway, or both. */
export const revokeKey = async (id: string, options: RevokeOptions): Promise<number> => {
  const { config, admin, io } = options
  if (config === undefined && admin === undefined) {
    throw new UsageError(
      'where? `--config FILE` writes it into the configuration, `--admin URL` tells a running gateway',
    )
  }
  if (config !== undefined && !/^[A-Za-z0-9._-]+\/[A-Za-z0-9._-]+$/.test(id)) {
    throw new UsageError('a signed key’s id is `ISSUER/ID`; a static key ends by being taken out of `auth.keys`')
  }
  const written = config === undefined ? EXIT.ok : inFile(id, config, io)
  const told = admin === undefined ? EXIT.ok : await atGateway(id, admin, options)
  return written === EXIT.ok ? told : written
}
