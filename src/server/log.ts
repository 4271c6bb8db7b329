import type { ServerConfig } from '../contracts/config.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'
const ORDER: Readonly<Record<ServerConfig['log']['level'], number>> = {
  debug: 0,
  info: 1,
  warn: 2,
  error: 3,
  silent: 4,
}

/** A log line that is no access line; empty when its level is off. fields must hold no secret and no content. */
export function logLine(
  threshold: ServerConfig['log']['level'],
  level: Level,
  fields: object,
  message: string,
): string {
  if (ORDER[level] < ORDER[threshold]) return ''
  return `${JSON.stringify({ time: new Date().toISOString(), level, msg: message, ...fields })}\n`
}
