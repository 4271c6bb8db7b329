// Identity headers with anything in front of the proxy's own element: the caller is who the proxy says, or nobody.
import { raw } from '../integration/abuse-kit.ts'
import { mutate, type Chance } from './random.ts'

const CALLER = 'spiffe://td/ns/apps/sa/chat'
const WANTED = 'spiffe://td/ns/ops/sa/root'
const OWN = 'spiffe://td/ns/llm/sa/heddle'

const element = (id: string, subject: string): string => `By=${OWN};Hash=5e5e;Subject="${subject}";URI=${id}`
/** As Envoy writes them of certificates whose subjects hold separators. */
const SUBJECTS = ['', 'CN=chat', String.raw`CN=\"a\", O=b\\`, `CN=;URI=${WANTED},`, `CN=a,By=${OWN};URI=${WANTED}`]

const DICTIONARY = [
  '"',
  '\\',
  ',',
  ';',
  '=',
  '\\"',
  '",',
  '";',
  'URI=',
  `URI=${WANTED}`,
  'By=',
  `By=${OWN}`,
  'Subject="',
  ' ',
  '\t',
]

/** The rules that this fuzzer needs: what only root may have, and what the caller may. */
export const IDENTITY_RULES = `
auth:
  peers:
    header: x-forwarded-client-cert
    trust: [127.0.0.1]
    map: [{ namespace: ops, models: ["*"] }, { namespace: apps, models: [m] }]
`

/** One header, asked for a model that only root may use. Throws when a caller becomes more than he is. */
export async function fuzzIdentity(chance: Chance, target: { readonly port: number }): Promise<void> {
  const forged = mutate(chance, Buffer.from(element(WANTED, chance.pick(SUBJECTS))), 1 + chance.below(6), DICTIONARY)
  const claimed = forged.toString('latin1').replaceAll(/[^\t\x20-\x7e]/g, '?')
  const own = element(CALLER, chance.pick(SUBJECTS))
  const name = 'x-forwarded-client-cert'
  const lines = chance.maybe(0.5) ? `${name}: ${claimed},${own}` : `${name}: ${claimed}\r\n${name}: ${own}`
  const head = `GET /v1/models/root-only HTTP/1.1\r\nhost: t\r\nconnection: close\r\n${lines}\r\n\r\n`
  const { answers } = await raw(target.port, head)
  const status = answers[0]?.status
  if (status !== 401 && status !== 404) throw new Error(`answered ${status} to ${JSON.stringify(lines)}`)
}
