import { z } from 'zod'
import { duration, flag, integer, longText, name, optional, section, size, withDefault } from './fields.ts'
import { providerSchema } from './schema-provider.ts'

export const SERVER_NAME = /^[a-z][a-z0-9-]{0,31}$/
const toolGlob = name.regex(/^[\x21-\x7e]+$/, { error: 'holds a character that no tool’s name has' })

const url = z.string().superRefine((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const bad = (message: string): void => context.addIssue({ code: 'custom', message })
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol))
    bad('must be an absolute http or https URL')
  else if (parsed.username !== '' || parsed.password !== '')
    bad('must not hold credentials; use `api_key` or `headers`')
  else if (parsed.search !== '' || parsed.hash !== '') bad('must not hold a query or fragment; use `query`')
})

const { api_key, auth, headers, query, max_connections, tls, credentials, egress, propagate_trace } =
  providerSchema.shape

export const mcpServerSchema = z
  .strictObject({
    url: url.describe('Where the server takes messages (streamable HTTP), such as `http://tools.svc:8080/mcp`.'),
    api_key,
    auth,
    headers,
    query,
    max_connections,
    tls,
    credentials,
    class: providerSchema.shape.class,
    egress,
    propagate_trace,
    timeout: withDefault(
      duration,
      '60s',
      'Longest wait for an answer. Progress that the server reports begins it anew. 0 = none.',
    ),
    tools: optional(
      z.array(toolGlob).min(1).max(1000),
      'Names of tools (with `*`), as the server has them, that callers may see and use. Left out: all.',
    ),
    deny: optional(z.array(toolGlob).max(1000), 'Names of tools (with `*`) that nobody may see or use.'),
    prefix: optional(
      z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: 'must be 1 to 64 letters, digits, `_`, `-` or `.`' }),
      'Before its names at the common endpoint. Left out: its name and two underscores.',
    ),
    pin: withDefault(
      flag,
      false,
      'A tool whose description or parameters have changed since they were first seen is neither listed nor called.',
    ),
    pins: optional(
      z.record(
        toolGlob.regex(/^[^*]*$/, { error: 'names one tool' }),
        z.string().regex(/^[0-9a-f]{64}$/, { error: 'must be a SHA-256 in lower-case hexadecimal' }),
      ),
      'By the name of a tool the hash that it must have, as the log tells it. Another one is neither listed nor called.',
    ),
  })
  .meta({ id: 'McpServer' })

const origin = name.regex(/^(?:\*|[a-z][a-z0-9+.-]*:\/\/[^/\s]+|null)$/, {
  error: 'must be an origin such as `https://chat.example.com` or `http://localhost:*`',
})

export const mcpSchema = z
  .optional(
    z.strictObject({
      path: withDefault(
        z.string().regex(/^\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$/, { error: 'must be a path such as `/mcp`' }),
        '/mcp',
        'Of the endpoint for all servers, on the port of the API. Below it each server has its own: `/mcp/NAME`.',
      ),
      names: withDefault(
        z.enum(['prefixed', 'unique']),
        'prefixed',
        'Names of tools and prompts at the common endpoint. `unique`: as servers have them; of two that clash the second keeps its prefix.',
      ),
      origins: optional(
        z.array(origin).max(100),
        'Web origins (with `*`) whose pages may call. Left out: none, so that no page can reach the endpoint by DNS rebinding.',
      ),
      public_url: optional(
        z.string().regex(/^https?:\/\/[^/?#\s@]+$/, { error: 'must be an origin such as `https://llm.example.com`' }),
        'Origin that clients know this gateway by, for the metadata of authorization. Left out: the `host` of the request.',
      ),
      session: section(
        {
          ttl: withDefault(duration, '24h', 'A session ends so long after it began.'),
          secrets: optional(
            z.array(longText.min(16, { error: 'shorter than 16 characters' })).max(8),
            'What ids of sessions are sealed with: the first seals, all open. The same in all replicas. Left out: random, so that sessions end with the process.',
          ),
        },
        'Sessions of clients.',
      ),
      list_ttl: withDefault(duration, '60s', 'Lists of servers are kept for so long, unless a server says otherwise.'),
      limits: section(
        {
          message: withDefault(size, '1MiB', 'One message of a client.'),
          depth: withDefault(integer(4, 1000), 64, 'Nesting of a message of a client.'),
          batch: withDefault(integer(1, 1000), 20, 'Messages in a batch (revision 2025-03-26).'),
          answer: withDefault(size, '16MiB', 'One message of a server.'),
          listed: withDefault(
            integer(1, 100_000),
            5000,
            'Entries of one list of one server. Further ones are left out.',
          ),
          streams: withDefault(
            integer(1, 1_000_000),
            5000,
            'Streams for messages of servers that are open at once, per worker.',
          ),
        },
        'Bounds.',
      ),
      servers: z
        .record(name, mcpServerSchema)
        .describe('MCP servers by name: lower-case letters, digits and `-`, at most 32 characters.'),
    }),
  )
  .describe('An endpoint for tools: MCP servers behind one URL. Left out: there is none.')
