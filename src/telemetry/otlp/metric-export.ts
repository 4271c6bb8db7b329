import type { JsonMetricsSerializer } from '@opentelemetry/otlp-transformer'
import type { FamilySnapshot } from '../metrics.ts'
import type { Origin } from './span-proto.ts'
import { A, LABELS, OTEL_METRICS, labelOf } from '../semconv.ts'

type ResourceMetrics = Parameters<typeof JsonMetricsSerializer.serializeRequest>[0]
type MetricData = ResourceMetrics['scopeMetrics'][number]['metrics'][number]
type HrTime = MetricData['dataPoints'][number]['startTime']

// Values of the SDK's enums (@opentelemetry/sdk-metrics, @opentelemetry/api), which must not be loaded for four numbers.
const DOUBLE = 1
const CUMULATIVE = 1
const HISTOGRAM = 0
const GAUGE = 2
const SUM = 3

/** Epoch ms into whole seconds and nanoseconds. */
const hrTime = (ms: number): HrTime => [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)]

/** Attributes that are numbers by convention; labels are texts. */
const NUMERIC: ReadonlySet<string> = new Set([labelOf(A.serverPort), labelOf(A.status)])

const attributesOf = (labels: Readonly<Record<string, string>>, convention: boolean) =>
  Object.fromEntries(
    Object.entries(labels).map(([label, value]) => [
      convention ? (LABELS[label] ?? label) : label,
      convention && NUMERIC.has(label) && value !== '' ? Number(value) : value,
    ]),
  )

/** By the endings of Prometheus' names, in UCUM. */
const unitOf = (name: string): string => {
  const base = name.replace(/_total$/, '')
  if (base.endsWith('_seconds')) return 's'
  if (base.endsWith('_bytes')) return 'By'
  return '1'
}

/** Families as they stand, as the official serializers take them. startAt, now: epoch ms. */
export function toResourceMetrics(
  families: readonly FamilySnapshot[],
  { resource, scope, version, schemaUrl }: Origin,
  startAt: number,
  now: number,
): ResourceMetrics {
  const [startTime, endTime] = [hrTime(startAt), hrTime(now)]
  const metrics = families
    .filter(({ samples }) => samples.length > 0)
    .map((family): MetricData => {
      const convention = OTEL_METRICS[family.name]
      const base = {
        descriptor: {
          name: convention?.name ?? family.name,
          description: family.help,
          unit: convention?.unit ?? unitOf(family.name),
          valueType: DOUBLE,
        },
        aggregationTemporality: CUMULATIVE,
      }
      const point = <T>(labels: Readonly<Record<string, string>>, value: T) => ({
        startTime,
        endTime,
        attributes: attributesOf(labels, convention !== undefined),
        value,
      })
      if (family.kind === 'histogram')
        return {
          ...base,
          dataPointType: HISTOGRAM,
          dataPoints: family.samples.map(({ labels, histogram }) =>
            point(labels, {
              buckets: { boundaries: [...histogram!.bounds], counts: [...histogram!.counts] },
              sum: histogram!.sum,
              count: histogram!.count,
            }),
          ),
        }
      const dataPoints = family.samples.map(({ labels, value }) => point(labels, value))
      return family.kind === 'counter'
        ? { ...base, dataPointType: SUM, isMonotonic: true, dataPoints }
        : { ...base, dataPointType: GAUGE, dataPoints }
    })
  return {
    resource: { attributes: resource, schemaUrl } as unknown as ResourceMetrics['resource'],
    scopeMetrics: [{ scope: { name: scope, version, schemaUrl }, metrics }],
  }
}
