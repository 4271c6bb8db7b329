/**
 * Children of bench/picker.ts. `pods`: eight simulated pods in one process, told by messages what becomes of them.
 * `gateway CONFIG`: a gateway of its own process.
 */
import { startPod, type Pod, type PodServerOptions } from '../src/sim/pod.ts'

/** What the parent asks of the pods; each is answered with their stats. */
export type Order = 'stats' | 'reset' | { readonly die: number }

const say = (message: object): void => void process.send!(message)

async function pods(options: readonly PodServerOptions[]): Promise<void> {
  const all: Pod[] = []
  for (const one of options) all.push(await startPod(one))
  process.on('message', (order: Order) => {
    const done = async (): Promise<void> => {
      if (typeof order === 'object') all[order.die]!.die()
      else if (order === 'reset') for (const pod of all) await pod.revive().then(() => pod.reset())
      say({ stats: all.map((pod) => pod.stats()) })
    }
    done().catch((error: unknown) => {
      throw error
    })
  })
  say({ ports: all.map(({ port }) => port) })
}

async function gateway(config: string): Promise<void> {
  const { serve } = await import('../src/server.ts')
  const server = await serve({ config, port: 0, adminPort: 0 }, { signals: false, quiet: true })
  say({ port: Number(new URL(server.url).port) })
}

const [role = '', argument = ''] = process.argv.slice(2)
// The parent is gone: nobody would end this process.
process.on('disconnect', () => process.exit(0))
if (role === 'pods') await pods(JSON.parse(argument) as PodServerOptions[])
else await gateway(argument)
