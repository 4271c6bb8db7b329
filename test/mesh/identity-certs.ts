/** Certificates of a small mesh, made with openssl, and a client that shows one. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const hasOpenssl: boolean = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('SKIPPED: tests of mesh identities need the openssl program\n')

export interface Certs {
  /** PEM of `NAME.pem` or `NAME.key`. */
  pem(file: string): string
  /** A key and a certificate of the mesh's authority. subject: in openssl's form. san: of its configuration. */
  issue(name: string, subject: string, san: string): void
  /** Sends a request with that certificate; header values that are lists are sent as several lines. */
  send(url: string, client: string, headers: Readonly<Record<string, string | string[]>>, body: object): Promise<Reply>
  close(): void
}

export interface Reply {
  readonly status: number
  readonly body: string
}

export const makeCerts = (): Certs => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-mesh-'))
  const file = (name: string): string => join(folder, name)
  const pem = (name: string): string => readFileSync(file(name), 'utf8')
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const key = (name: string): string[] => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}.key`,
  ]
  openssl('req', '-x509', ...key('ca'), '-out', 'ca.pem', '-days', '2', '-subj', '/O=mesh')
  return {
    pem,
    issue(name, subject, san) {
      writeFileSync(file(`${name}.ext`), san === '' ? '' : `subjectAltName=@names\n[names]\n${san}\n`)
      openssl('req', ...key(name), '-out', `${name}.csr`, '-subj', subject)
      const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2']
      openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
    },
    send: (url, client, headers, body) =>
      new Promise((resolve, reject) => {
        const call = request(
          url,
          {
            method: 'POST',
            agent: false,
            // Proxies of a mesh look at SPIFFE ids, not at host names.
            checkServerIdentity: () => undefined,
            ca: pem('ca.pem'),
            cert: pem(`${client}.pem`),
            key: pem(`${client}.key`),
            headers: { 'content-type': 'application/json', ...headers },
          },
          (response) => {
            let text = ''
            response.on('data', (chunk: Buffer) => (text += chunk.toString()))
            response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
          },
        )
        call.on('error', reject)
        call.end(JSON.stringify(body))
      }),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
