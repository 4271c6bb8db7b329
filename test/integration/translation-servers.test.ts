// Every conversation, from every client dialect, to model servers that know prompts and texts only: whoever asks, the same
// prompt reaches them, and the same text comes back, whole and streamed; what a prompt cannot say is refused.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServing, type SimServing } from '../../src/sim/serving-index.ts'
import { CONVERSATIONS } from '../support/conversations.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { CLIENTS, said, saying } from '../support/matrix.ts'
import { bodyIn, post, type Asked } from '../support/translation.ts'

const INPUTS =
  '{ text: "{{prompt}}", max_len: { value: "{{max_tokens}}", type: int32 }, temperature: { value: "{{temperature}}", type: float }, top_p: { value: "{{top_p}}", type: float } }'
const OUTPUTS = '{ text: output, finish: finish, input_tokens: prompt_tokens, output_tokens: tokens }'
const MAPPING = `mapping: { inputs: ${INPUTS}, outputs: ${OUTPUTS} }`
const WAYS = ['tf_grpc', 'tf_rest', 'v2_grpc', 'v2_rest', 'triton', 'torch', 'chain'] as const

let sim: SimServing
let gateway: Gateway
/** What stands before and behind a model server in a row of services. */
let service: Server

beforeAll(async () => {
  sim = await startServing()
  const { url, grpcUrl } = sim
  service = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const { text } = JSON.parse(Buffer.concat(chunks).toString()) as { text: string }
      const body = { text: req.url === '/before' ? text.trim() : `<<${text}>>` }
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  const at = `http://127.0.0.1:${(service.address() as AddressInfo).port}`
  const torch =
    '{ data: "{{prompt}}", max_new_tokens: "{{max_tokens}}", temperature: "{{temperature}}", top_p: "{{top_p}}" }'
  gateway = await startGateway(`
providers:
  tf_grpc: { type: tensorflow_serving, base_url: "${grpcUrl}", ${MAPPING} }
  tf_rest: { type: tensorflow_serving, base_url: "${url}", ${MAPPING} }
  v2_grpc: { type: kserve, base_url: "${grpcUrl}", ${MAPPING} }
  v2_rest: { type: kserve, base_url: "${url}", ${MAPPING} }
  triton: { type: triton, base_url: "${url}" }
  torch: { type: torchserve, base_url: "${url}", mapping: { inputs: ${torch}, outputs: { text: . } } }
  chain:
    type: pipeline
    steps:
      - { name: before, url: "${at}/before", request: { text: "{{prompt}}" }, outputs: { text: text } }
      - { name: model, type: tensorflow_serving, url: "${grpcUrl}", model: m, mapping: { inputs: ${INPUTS.replace('{{prompt}}', '{{steps.before.text}}')}, outputs: ${OUTPUTS} } }
      - { name: after, url: "${at}/after", request: { text: "{{steps.model.text}}" }, outputs: { text: text } }
models:
${WAYS.map((way) => `  ${way}: ${way}/m`).join('\n')}
`)
})

afterAll(async () => {
  await gateway.stop()
  await sim.close()
  service.closeAllConnections()
  await new Promise((resolve) => service.close(resolve))
})

/** What must be the same whoever asks: the words, why they end, or that they are refused. */
const essence = ({ status, meaning }: Asked): readonly unknown[] =>
  status === 200 ? [meaning.text, meaning.finish === 'stop_sequence' ? 'stop' : meaning.finish] : [status]

const cells: string[] = []

test.each(WAYS)(
  '%s',
  async (way) => {
    for (const { name, request } of CONVERSATIONS) {
      let first: readonly unknown[] | null = null
      let line = `${name.padEnd(26)}${way.padEnd(9)}`
      // Dialects without parts put their texts together in ways of their own: another prompt, so another answer.
      const apart = request.messages.some(({ parts }) => parts.filter(({ type }) => type === 'text').length > 1)
      for (const client of CLIENTS) {
        if (apart) first = null
        const asks = said(client, request)
        for (const stream of asks === null ? [] : [false, true]) {
          const answer = await post(gateway.url, client, bodyIn(client, asks!, way, stream), { model: way, stream })
          const found = essence(answer)
          first ??= found
          const same = first
          saying(`${name}, ${client}, ${stream ? 'streamed' : 'whole'}: ${answer.raw.slice(0, 400)}`, () => {
            expect(found).toEqual(same)
            expect(answer.status === 200 ? answer.meaning.text : 'refused').not.toBe('')
            // What ends at a sequence ends there, whoever has said it.
            const rows = request.stop === undefined ? /^<<.+>>$/s : /^<<./s
            if (way === 'chain' && answer.status === 200) expect(answer.meaning.text).toMatch(rows)
            if (answer.status !== 200) expect(JSON.stringify(answer.error)).toMatch(/of this model|of the model/)
          })
        }
        line += asks === null ? '.' : first![0] === 400 ? 'r' : '='
      }
      cells.push(line)
    }
  },
  60_000,
)

test('texts are answered, and what is no text is refused', () => {
  process.stdout.write(`${' '.repeat(35)}${CLIENTS.map((client) => client[0]).join('')}\n${cells.join('\n')}\n`)
  expect(cells).toHaveLength(WAYS.length * CONVERSATIONS.length)
  for (const way of WAYS) {
    const of = (name: string): string => cells.find((line) => line.startsWith(name) && line.includes(way))!
    expect(of('one turn')).toMatch(new RegExp(`={${CLIENTS.length}}$`))
    expect(of('a result ')).toMatch(/r$/)
    expect(of('an image ')).toMatch(/r/)
  }
})
