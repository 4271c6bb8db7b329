/** `heddle sim`: the simulator as a command. */
import { parseArgs } from 'node:util'
import { faultTableText } from './fault-table.ts'
import type { SimOptions } from './index.ts'
import { FAULTS, FaultSpecError, startSim } from './index.ts'
import { parsePodOptions, podOptionsText, PodSpecError } from './pod-options.ts'
import { startPod, type PodServerOptions } from './pod.ts'

const DEFAULT_PORT = 8090

const HELP = `heddle sim - a simulated model backend that speaks every vendor's API, deterministic, with faults on demand

Usage: heddle sim [options]

  --port N          port to listen on (default ${DEFAULT_PORT}; 0 = any free one)
  --host ADDRESS    address to listen on (default 127.0.0.1)
  --seed N          what answers depend on beside the messages (default 1)
  --api-key KEY     refuse requests with another key
  --strict-models   refuse models that GET /v1/models does not list
  --rpm N           requests a minute for each key, with x-ratelimit headers
  --tpm N           tokens a minute for each key
  --faults SPEC     faults for all requests, such as 'delay_first=300;prob=0.1'
  --pod             a model server's pod instead: batches, a KV cache with prefixes, vLLM's metrics, load reports
  --pod-options S   of the pod, such as 'blocks=2048;max_running=8;slow=3;die_after=30s'; see --list-pod-options
  --list-pod-options  print them and exit
  --list-faults     print the fault table and exit
  --json            print machine-readable lines
  --help            print this

A fault can also be asked for by one request: in the header x-sim-fault, or behind the model's name.

Examples:
  heddle sim --port 8090
  heddle sim --rpm 60 --tpm 10000 --api-key sk-test
  heddle sim --faults 'status=503;prob=0.2'
  heddle sim --pod --port 8001 --pod-options 'slow=3'
  curl http://127.0.0.1:8090/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"sim-chat","messages":[{"role":"user","content":"What is the capital of France?"}]}'
  curl -N http://127.0.0.1:8090/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"sim-chat~interval=50~stall_after=3","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
`

/** A mistake in the arguments; the message is for people. */
class UsageError extends Error {}

const integer = (name: string, value: string | undefined, low: number, high: number): number | undefined => {
  if (value === undefined) return undefined
  const number = Number(value)
  if (!Number.isInteger(number) || number < low || number > high) {
    throw new UsageError(`--${name} wants an integer from ${low} to ${high}, not '${value}'`)
  }
  return number
}

const readArgs = (argv: readonly string[]) => {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        seed: { type: 'string' },
        'api-key': { type: 'string' },
        'strict-models': { type: 'boolean' },
        rpm: { type: 'string' },
        tpm: { type: 'string' },
        faults: { type: 'string' },
        pod: { type: 'boolean' },
        'pod-options': { type: 'string' },
        'list-pod-options': { type: 'boolean' },
        'list-faults': { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

type Values = ReturnType<typeof readArgs>

const toOptions = (values: Values): SimOptions => {
  const rpm = integer('rpm', values.rpm, 1, 1e9)
  const tpm = integer('tpm', values.tpm, 1, 1e12)
  const seed = integer('seed', values.seed, 0, 0xffffffff)
  return {
    port: integer('port', values.port, 0, 65_535) ?? DEFAULT_PORT,
    host: values.host ?? '127.0.0.1',
    strictModels: values['strict-models'] ?? false,
    quota: {
      ...(rpm === undefined ? {} : { requestsPerMinute: rpm }),
      ...(tpm === undefined ? {} : { tokensPerMinute: tpm }),
    },
    ...(seed === undefined ? {} : { seed }),
    ...(values['api-key'] === undefined ? {} : { apiKey: values['api-key'] }),
    ...(values.faults === undefined ? {} : { faults: values.faults }),
  }
}

const untilSignal = (sim: { close(): Promise<void> }): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      sim.close().then(resolve, reject)
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })

const ONLY_WITHOUT_POD = ['api-key', 'strict-models', 'rpm', 'tpm', 'faults'] as const

const toPodOptions = (values: Values): PodServerOptions => {
  for (const name of ONLY_WITHOUT_POD)
    if (values[name] !== undefined) throw new UsageError(`--${name} has no meaning for a pod`)
  const { port, host, seed } = toOptions(values)
  const of = parsePodOptions(values['pod-options'] ?? '')
  return {
    ...of,
    ...(port === undefined ? {} : { port }),
    ...(host === undefined ? {} : { host }),
    ...(seed === undefined ? {} : { seed }),
  }
}

const run = async (values: Values): Promise<void> => {
  if (values.pod !== true && values['pod-options'] !== undefined) throw new UsageError('--pod-options needs --pod')
  const sim = values.pod === true ? await startPod(toPodOptions(values)) : await startSim(toOptions(values))
  const line =
    values.json === true
      ? JSON.stringify({ event: 'listening', url: sim.url, port: sim.port })
      : `heddle sim listening on ${sim.url}`
  process.stdout.write(`${line}\n`)
  await untilSignal(sim)
}

const isListenError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && (error.syscall === 'listen' || error.syscall === 'getaddrinfo')

/** Runs until SIGINT or SIGTERM. Mistakes go to stderr with exit code 2, an unusable address with 1. */
export const simCommand = async (argv: string[]): Promise<void> => {
  try {
    const values = readArgs(argv)
    if (values.help === true) process.stdout.write(HELP)
    else if (values['list-pod-options'] === true) process.stdout.write(podOptionsText())
    else if (values['list-faults'] === true)
      process.stdout.write(values.json === true ? `${JSON.stringify(FAULTS)}\n` : faultTableText())
    else await run(values)
  } catch (error) {
    const mistake = error instanceof UsageError || error instanceof FaultSpecError || error instanceof PodSpecError
    if (!mistake && !isListenError(error)) throw error
    process.stderr.write(`heddle sim: ${error.message}\n${mistake ? 'Try `heddle sim --help`.\n' : ''}`)
    process.exitCode = mistake ? 2 : 1
  }
}
