/** A certificate for one name and the authority that signed it, made with openssl. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const hasOpenssl: boolean = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('SKIPPED: tests of egress need the openssl program\n')

export interface ServerCertificate {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export const certificateFor = (name: string): ServerCertificate => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-egress-'))
  const pem = (file: string): string => readFileSync(join(folder, file), 'utf8')
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const key = (file: string): string[] =>
    `-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${file}.key`.split(' ')
  try {
    openssl('req', '-x509', ...key('ca'), '-out', 'ca.pem', '-days', '2', '-subj', '/CN=authority')
    writeFileSync(join(folder, 'leaf.ext'), `subjectAltName=DNS:${name}\n`)
    openssl('req', ...key('leaf'), '-out', 'leaf.csr', '-subj', `/CN=${name}`)
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2']
    openssl('x509', '-req', '-in', 'leaf.csr', ...signer, '-extfile', 'leaf.ext', '-out', 'leaf.pem')
    return { ca: pem('ca.pem'), cert: pem('leaf.pem'), key: pem('leaf.key') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
