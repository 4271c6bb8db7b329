import type { Target } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'
import { wireFor } from './translation.ts'

const INSTRUCTION =
  'Your last message was cut off. Continue it from exactly where it stopped, without repeating any of it and without comment.'

/** Event that tells the client who goes on with its answer. */
export function continuationNotice({ id, model, services }: Exchange, from: Target, to: Target): Buffer {
  const notice = {
    id,
    object: 'chat.completion.chunk',
    created: Math.floor(services.clock.now() / 1000),
    model,
    choices: [],
    heddle: { continuation: { from: from.name, to: to.name } },
  }
  return Buffer.from(`data: ${JSON.stringify(notice)}\n\n`)
}

/** Several choices cannot be continued one by one. */
export function isContinuable(body: Readonly<Record<string, unknown>>): boolean {
  return Array.isArray(body['messages']) && !(typeof body['n'] === 'number' && body['n'] > 1)
}

/**
 * Body with which another target goes on with an answer that broke off: the conversation, the answer so far, and the
 * instruction to continue. Chat only, and only when isContinuable().
 */
export function continuationBody(
  body: Readonly<Record<string, unknown>>,
  textSoFar: string,
  model: string,
  includeUsage: boolean,
): Buffer {
  const messages = [
    ...(body['messages'] as unknown[]),
    { role: 'assistant', content: textSoFar },
    { role: 'user', content: INSTRUCTION },
  ]
  const options = includeUsage
    ? { stream_options: { ...(body['stream_options'] as object | undefined), include_usage: true } }
    : {}
  return Buffer.from(JSON.stringify({ ...body, model, messages, ...options }))
}

/** What goes on is in the client's own dialect. */
export const mayContinue = (x: Exchange, { health, provider }: Target): boolean =>
  health.ejectedUntil === 0 && wireFor(provider, x.operation) === null
