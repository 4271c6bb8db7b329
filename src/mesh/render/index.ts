import type { HeddleConfig } from '../../contracts/config.ts'
import type { Place, Rendered, RenderTarget } from './parts.ts'
import { renderEnvoyGateway } from './envoy-gateway.ts'
import { renderIstio } from './istio.ts'
import { renderLinkerd } from './linkerd.ts'

export type { Place, Rendered, RenderTarget } from './parts.ts'

export const RENDER_TARGETS: Readonly<Record<RenderTarget, (config: HeddleConfig, place: Place) => Rendered>> = {
  istio: renderIstio,
  linkerd: renderLinkerd,
  'envoy-gateway': renderEnvoyGateway,
}
