import { fetchSmall } from '../core/http-client.ts'
import { EXIT, textFlag, UsageError } from './command.ts'
import type { ParsedArgs } from './command.ts'
import { COMMANDS } from './commands.ts'
import type { Io } from './io.ts'

const WISHES = ['tenant', 'model', 'tag', 'prefix', 'id'] as const

interface Asked {
  readonly status: number
  readonly text: string
}

async function ask(args: ParsedArgs, io: Io, path: string, body: object | null): Promise<Asked> {
  const flag = (name: string): string | undefined => textFlag(COMMANDS.cache, args, name, io.env)
  const admin = flag('admin') ?? 'http://127.0.0.1:8081'
  if (!URL.canParse(admin)) throw new UsageError('`--admin` must be a URL such as http://127.0.0.1:8081')
  const token = flag('admin-token')
  const headers = {
    ...(body === null ? {} : { 'content-type': 'application/json' }),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  }
  const options = body === null ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) }
  const { status, body: text } = await fetchSmall(new URL(path, admin).href, options)
  return { status, text }
}

function failed({ status, text }: Asked, io: Io): number {
  const hint = status === 401 ? ' Set HEDDLE_ADMIN_TOKEN.' : ''
  let message = text
  try {
    message = (JSON.parse(text) as { error: { message: string } }).error.message
  } catch {
    // Something else answers there.
  }
  io.err(`heddle: the admin API answered ${status}: ${message.slice(0, 500)}${hint}\n`)
  return EXIT.failure
}

async function stats(args: ParsedArgs, io: Io): Promise<number> {
  const answer = await ask(args, io, '/admin/cache', null)
  if (answer.status !== 200) return failed(answer, io)
  io.out(`${JSON.stringify(JSON.parse(answer.text), null, 2)}\n`)
  return EXIT.ok
}

async function purge(args: ParsedArgs, io: Io): Promise<number> {
  const wish = Object.fromEntries(
    WISHES.flatMap((name) => {
      const value = textFlag(COMMANDS.cache, args, name, io.env)
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
  const all = args.flags.has('all')
  if (all === Object.keys(wish).length > 0)
    throw new UsageError(`say what is to go: ${WISHES.map((name) => `\`--${name}\``).join(', ')}, or \`--all\``)
  const answer = await ask(args, io, '/admin/cache/purge', all ? { all: true } : wish)
  if (answer.status !== 200) return failed(answer, io)
  io.out(`${(JSON.parse(answer.text) as { purged: number }).purged} answers are gone.\n`)
  return EXIT.ok
}

/** `heddle cache stats|purge`: asks a running gateway. `simulate` asks nobody. */
export async function cacheCommand(args: ParsedArgs, io: Io): Promise<number> {
  const action = args.positional[0]
  if (action === 'simulate') return (await import('./cache-simulate.ts')).simulateCommand(args, io)
  if (args.positional.length > 1) throw new UsageError(`unexpected argument \`${args.positional[1]}\``)
  try {
    if (action === 'stats') return await stats(args, io)
    if (action === 'purge') return await purge(args, io)
  } catch (error) {
    if (error instanceof UsageError) throw error
    io.err(`heddle: the admin API cannot be asked: ${error instanceof Error ? error.message : 'failed'}\n`)
    return EXIT.failure
  }
  throw new UsageError('`heddle cache` needs `stats`, `purge` or `simulate`')
}
