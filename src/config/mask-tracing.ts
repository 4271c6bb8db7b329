import type { OtlpConfig, TracingConfig } from '../contracts/config-tracing.ts'

const MASK = '***'

/** Without the query and without a user's name and password, which some collectors take for their token. */
const maskUrl = (text: string): string => {
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') {
    url.username = MASK
    url.password = ''
  }
  if (url.search !== '') url.search = `?${MASK}`
  return url.href
}

const maskOtlp = <T extends OtlpConfig>(otlp: T): T => ({
  ...otlp,
  endpoint: maskUrl(otlp.endpoint),
  headers: Object.fromEntries(Object.keys(otlp.headers).map((name) => [name, MASK])),
  clientCert: otlp.clientCert === null ? null : { cert: otlp.clientCert.cert, key: MASK },
})

/** Tracing fit for a dump: headers to collectors carry tokens, so their values are `***`. */
export const maskTracing = (tracing: TracingConfig): TracingConfig => ({
  ...tracing,
  traces: tracing.traces === null ? null : maskOtlp(tracing.traces),
  metrics: tracing.metrics === null ? null : maskOtlp(tracing.metrics),
})
