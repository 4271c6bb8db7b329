import type { Lease } from '../contracts/admission.ts'
import type { AttributeValue, SpanData } from '../contracts/trace.ts'
import type { McpFacts } from '../contracts/routing.ts'
import type { UsageRecord } from '../contracts/usage.ts'
import type { Turn } from './turn.ts'
import type { RpcRequest } from './json-rpc.ts'
import type { Outcome } from './faults.ts'
import { GatewayError } from '../core/errors.ts'
import { A } from '../telemetry/semconv.ts'
import { CallFacts } from './facts.ts'

const NOTHING = { inputTokens: 0, outputTokens: 0, nanoUsd: 0 } as const
const FREE = { nanoUsd: 0, estimated: false, priced: true } as const
/** What of a server is used, and not only looked at, has a record. */
const RECORDED: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read'])
/** What asks servers for something each time counts against limits. */
const COUNTED: ReadonlySet<string> = new Set([...RECORDED, 'initialize', 'completion/complete', 'resources/subscribe'])
const MAX_TEXT = 256

/** One request: may it be made, what does it count, how did it end. */
export class CallAccount {
  readonly #turn: Turn
  readonly #request: RpcRequest
  readonly #facts: CallFacts
  readonly #startedAt: number
  readonly spanId: string
  #lease: Lease | null = null
  #over = false

  constructor(turn: Turn, request: RpcRequest, about: Omit<McpFacts, 'method'>) {
    this.#turn = turn
    this.#request = request
    const { method, params } = request
    const { server, name, tool } = about
    this.#facts = new CallFacts(turn.received, turn.principal, { server, name, tool, method }, params)
    this.#startedAt = turn.now()
    this.spanId = turn.trace?.sampled === true ? turn.trace.newSpanId() : (turn.trace?.callSpanId ?? '')
  }

  /** Throws GatewayError. */
  check(): void {
    const denial = this.#turn.principal.access.request(this.#facts)
    if (denial === null) return
    const { name, method } = this.#facts.mcp
    const what = name === '' ? method : JSON.stringify(name.slice(0, MAX_TEXT))
    throw new GatewayError('permission_denied', `This caller may not use ${what}.`, {
      detail: `${denial.rule}: ${denial.reason}`,
    })
  }

  /** Takes what it needs of limits. Throws, or rejects with, GatewayError. */
  admit(): void | Promise<void> {
    const { limiter } = this.#turn.snapshot.policies
    if (limiter === null || !COUNTED.has(this.#request.method)) return undefined
    const lease = limiter.admit({ facts: this.#facts, model: '', target: null, estimate: NOTHING })
    if (lease instanceof Promise)
      return lease.then((granted) => {
        this.#lease = granted
        // The client left meanwhile: nobody else would give it back.
        if (this.#over) granted?.settle(NOTHING)
      })
    this.#lease = lease
    return undefined
  }

  /** Once; later calls do nothing. */
  finish(outcome: Outcome): void {
    if (this.#over) return
    this.#over = true
    this.#lease?.settle(NOTHING)
    const { server, method, tool } = this.#facts.mcp
    const ms = this.#turn.now() - this.#startedAt
    const { metrics } = this.#turn
    metrics.request(server, method, outcome, ms / 1000)
    if (tool !== '' && server !== '') metrics.tool(server, tool, outcome)
    const { recorder } = this.#turn.snapshot.policies
    if (RECORDED.has(method)) recorder?.write(this.#record(outcome, ms))
    if (this.#turn.trace?.sampled === true) this.#turn.spans.push(this.#span(outcome, ms))
  }

  #record(outcome: Outcome, ms: number): UsageRecord {
    const { principal, requestId, trace, services } = this.#turn
    const { server } = this.#facts.mcp
    return {
      time: services.clock.now() - ms,
      durationMs: ms,
      requestId,
      traceId: trace?.traceId ?? '',
      tenant: principal.tenant,
      team: principal.team,
      user: principal.user,
      keyId: principal.keyId,
      peer: principal.peer?.id ?? '',
      namespace: principal.peer?.namespace ?? '',
      serviceAccount: principal.peer?.serviceAccount ?? '',
      trustDomain: principal.peer?.trustDomain ?? '',
      model: '',
      route: this.#request.method,
      provider: server === '' ? '' : `mcp:${server}`,
      target: server === '' ? '' : `mcp:${server}/${this.#asServerNames().slice(0, MAX_TEXT)}`,
      modelAnswered: '',
      operation: 'mcp',
      stream: this.#turn.outlet?.streaming ?? false,
      status: 200,
      outcome,
      usage: null,
      charge: FREE,
      cached: false,
      attempts: [],
      wouldRefuse: this.#lease?.wouldRefuse ?? [],
      labels: principal.labels,
    }
  }

  #asServerNames(): string {
    const { tool, name } = this.#facts.mcp
    return tool === '' ? name : tool
  }

  /** OpenTelemetry: GenAI `execute_tool`, MCP attributes. */
  #span(outcome: Outcome, ms: number): SpanData {
    const { trace, client, requestId } = this.#turn
    const { server, method, tool, name } = this.#facts.mcp
    const endAt = this.#turn.services.clock.now()
    const found: Record<string, AttributeValue> = {
      [A.mcpMethod]: method.slice(0, MAX_TEXT),
      [A.rpcId]: String(this.#request.id),
      'heddle.request_id': requestId,
    }
    if (client !== null) found[A.mcpRevision] = client.revision
    if (server !== '') found['heddle.target'] = `mcp:${server}`
    if (tool !== '') {
      found[A.operation] = 'execute_tool'
      found[A.toolName] = tool.slice(0, MAX_TEXT)
      found[A.toolType] = 'extension'
    } else if (method === 'prompts/get') found[A.promptName] = name.slice(0, MAX_TEXT)
    else if (method === 'resources/read') found[A.mcpUri] = name.slice(0, MAX_TEXT)
    const failed = outcome !== 'ok' && outcome !== 'client_closed'
    if (failed) found[A.errorType] = outcome
    const about = tool === '' ? (method === 'prompts/get' ? name : '') : tool
    return {
      traceId: trace!.traceId,
      spanId: this.spanId,
      parentSpanId: trace!.spanId,
      remoteParent: false,
      traceState: trace!.traceState,
      kind: 'client',
      name: tool === '' ? `${method} ${about}`.trim().slice(0, MAX_TEXT) : `execute_tool ${tool.slice(0, MAX_TEXT)}`,
      startAt: endAt - ms,
      endAt,
      attributes: found,
      events: [],
      links: [],
      error: failed ? '' : null,
    }
  }
}
