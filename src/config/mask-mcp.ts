import type { ProviderConfig } from '../contracts/config.ts'
import type { McpConfig } from '../contracts/config-mcp.ts'

/** The MCP endpoint fit for a dump: what seals sessions, and the credentials of servers, are `***`. */
export const maskMcp = (
  mcp: McpConfig | null,
  maskProvider: (provider: ProviderConfig) => ProviderConfig,
): McpConfig | null =>
  mcp === null
    ? null
    : {
        ...mcp,
        session: { ...mcp.session, secrets: mcp.session.secrets.map(() => '***') },
        servers: mcp.servers.map((server) => ({ ...server, provider: maskProvider(server.provider) })),
      }
