import type { Client } from './client.ts'
import type { Link } from './link.ts'
import type { ServerTicket } from './session-token.ts'
import { isObject, textIn, type JsonObject } from './json-rpc.ts'
import { GatewayError } from '../core/errors.ts'
import { isHandshake, MODERN, NEWEST_HANDSHAKE } from './revisions.ts'
import { ServerError, ServerRefusal } from './server-error.ts'

const MODERN_TICKET: ServerTicket = { id: '', revision: MODERN }
/** It is there, and does not understand. */
const NOT_SPOKEN = new Set([400, 404, 405, 406, 415, 501])
const MAX_INSTRUCTIONS = 16 * 1024

/** A server said in its own words, or by its status, that it takes no such request: it may speak the other kind. */
function isNotSpoken(error: unknown): boolean {
  if (error instanceof ServerError) return true
  return error instanceof ServerRefusal && NOT_SPOKEN.has(error.httpStatus)
}

/**
 * Finds out how a server is spoken with, and begins sessions where it has them (2026-07-28, versioning: backward
 * compatibility). A client with a session gets one of the server where the server knows sessions at all, so that all
 * that the server can ask of the client passes through.
 */
export class Handshake {
  readonly #link: Link
  readonly #version: string

  constructor(link: Link, version: string) {
    this.#link = link
    this.#version = version
  }

  async begin(client: Client): Promise<ServerTicket> {
    const { state } = this.#link
    const order = client.modern ? (['modern', 'handshake'] as const) : (['handshake', 'modern'] as const)
    let first: unknown = null
    for (const way of order) {
      if (state[way] === false) continue
      try {
        const ticket = way === 'modern' ? await this.#discover(client) : await this.#initialize(client)
        state[way] = true
        return ticket
      } catch (error) {
        first ??= error
        if (!isNotSpoken(error)) throw error
        // Not for good: a server may be replaced by one that speaks more.
        if (state[way] === true) state[way] = null
      }
    }
    const { name } = this.#link
    state.modern = state.handshake = null
    const detail = first instanceof Error ? first.message : String(first)
    throw new GatewayError('upstream_invalid_response', `MCP server '${name}' does not begin a session.`, { detail })
  }

  async #discover(client: Client): Promise<ServerTicket> {
    const { state } = this.#link
    if (state.modern === true && state.capabilities !== null) return MODERN_TICKET
    const { result } = await this.#link.askWith(client, MODERN_TICKET, 'server/discover', {})
    const { supportedVersions } = result
    if (!Array.isArray(supportedVersions) || !supportedVersions.includes(MODERN))
      throw new ServerError({ code: 0, message: `it does not speak revision ${MODERN}` })
    this.#learn(result)
    return MODERN_TICKET
  }

  async #initialize(client: Client): Promise<ServerTicket> {
    const asked = client.modern ? NEWEST_HANDSHAKE : client.revision
    const params = {
      protocolVersion: asked,
      // Of requests without a session nobody could be asked back.
      capabilities: client.modern ? {} : client.capabilities,
      clientInfo: client.modern ? { name: 'heddle', version: this.#version } : client.clientInfo,
    }
    // No server knows a revision yet.
    const before = { id: '', revision: '' }
    const { result, sessionId } = await this.#link.askWith(client, before, 'initialize', params)
    const revision = textIn(result, 'protocolVersion') ?? ''
    if (!isHandshake(revision))
      throw new GatewayError(
        'upstream_invalid_response',
        `MCP server '${this.#link.name}' speaks another revision of the protocol.`,
        { detail: `revision ${revision.slice(0, 40)}` },
      )
    if (!/^[\x21-\x7e]{0,1024}$/.test(sessionId))
      throw new GatewayError(
        'upstream_invalid_response',
        `MCP server '${this.#link.name}' named a session that is none.`,
      )
    this.#learn(result)
    const ticket = { id: sessionId, revision }
    // Some servers take nothing else before it.
    await this.#link.notify(client, ticket, 'notifications/initialized', {})
    return ticket
  }

  #learn({ capabilities, instructions }: JsonObject): void {
    const { state } = this.#link
    state.capabilities = isObject(capabilities) ? capabilities : {}
    state.instructions = typeof instructions === 'string' ? instructions.slice(0, MAX_INSTRUCTIONS) : ''
  }
}
