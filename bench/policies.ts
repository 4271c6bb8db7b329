/** Heddle with the policies of a production set-up, for what each of them costs beside Heddle without any. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { findProgram } from './peers.ts'
import type { Command } from './peers.ts'

export const KEY = 'sk-bench-0123456789abcdef'

const keyPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const head = `${encode({ alg: 'ES256', typ: 'JWT', kid: 'bench' })}.${encode({
  iss: 'https://issuer.bench',
  aud: 'heddle',
  sub: 'bench',
  exp: Math.floor(Date.now() / 1000) + 86_400,
})}`
const signature = sign('sha256', Buffer.from(head), { key: keyPair.privateKey, dsaEncoding: 'ieee-p1363' })

/** One token for the whole run: what is measured is the request whose token has been seen before. */
export const JWT = `${head}.${signature.toString('base64url')}`

const publicKey = { ...keyPair.publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256', use: 'sig' }

/** Two limits that nothing reaches: they are counted all the same. */
const LIMITS = `
limits:
  per_key:
    per: [key]
    rules: [{ requests: 1000000000, per: 1m }]
  per_key_tokens:
    per: [key]
    rules: [{ tokens: 1000000000000, per: 1m }]
`

const KEYS = `
auth:
  keys: [{ id: bench, hash: 'sha256:${createHash('sha256').update(KEY).digest('hex')}', tenant: bench }]
tenants: { bench: {} }
`

export const keyAndLimits = KEYS + LIMITS

export const jwtOnly = `
auth:
  jwt:
    - { name: bench, issuer: https://issuer.bench, audience: heddle, jwks: '${JSON.stringify({ keys: [publicKey] })}' }
`

export const redisLimits = (port: number): string => `${KEYS}${LIMITS}
ledger: { redis: { url: 'redis://127.0.0.1:${port}', deadline: 1s } }
`

export const redisServer = (port: number, folder: string): Command | null => {
  const command = findProgram('redis-server')
  if (command === null) return null
  mkdirSync(folder, { recursive: true })
  return { command, args: ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', join(folder)] }
}

/** Calls of every command since the server's start. */
export const redisCalls = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.setTimeout(2000, () => socket.destroy(new Error('Redis does not answer')))
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      text += chunk
      const length = Number(/^\$(\d+)\r\n/.exec(text)?.[1] ?? NaN)
      if (!(text.length >= length)) return
      socket.destroy()
      let calls = 0
      // Commands of scripts are counted apart from the call of the script; only what crossed the network is asked for.
      for (const [, name, count] of text.matchAll(/^cmdstat_(eval|evalsha|fcall|ping):calls=(\d+)/gm))
        if (name !== 'ping') calls += Number(count)
      resolve(calls)
    })
    socket.write('INFO commandstats\r\n')
  })
