import type { UsageConfig } from '../contracts/config-usage.ts'
import type { Recorder, StreamStore, UsageRecord } from '../contracts/usage.ts'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { fetchSmall } from '../core/http-client.ts'
import { sleep } from '../core/sleep.ts'
import { FileSink } from './file-sink.ts'
import { OtlpSink } from './otlp-sink.ts'
import { recordLine } from './record.ts'
import { RedisSink } from './redis-sink.ts'

export interface RecorderParts {
  readonly clock: Clock
  readonly version: string
  /** Needed when `records.redis` is configured. */
  readonly store: StreamStore | null
}

/**
 * A recorder for the configured sinks, one a worker; several workers may share a file. Throws GatewayError
 * `config_invalid` when the file cannot be opened, or Redis is configured and not handed in.
 */
export function createRecorder(config: UsageConfig['records'], parts: RecorderParts): Recorder {
  const { clock, version, store } = parts
  if (config.redis !== null && store === null)
    throw new GatewayError('config_invalid', 'Usage records go to a Redis stream, but there is no Redis.', {
      detail: 'usage.records.redis',
    })
  const file = config.file === null ? null : new FileSink({ ...config.file, clock })
  const otlp = config.otlp === null ? null : new OtlpSink({ ...config.otlp, version, fetch: fetchSmall, sleep: later })
  const redis = config.redis === null || store === null ? null : new RedisSink({ ...config.redis, store, sleep: later })
  return {
    write(record: UsageRecord): void {
      if (file !== null || redis !== null) {
        const line = recordLine(record)
        file?.write(line)
        redis?.write(line)
      }
      otlp?.write(record)
    },
    async flush(): Promise<void> {
      await Promise.all([file?.flush(), otlp?.flush(), redis?.flush()])
    },
    async close(): Promise<void> {
      await Promise.all([file?.close(), otlp?.close(), redis?.flush()])
    },
    get dropped(): number {
      return (file?.dropped ?? 0) + (otlp?.dropped ?? 0) + (redis?.dropped ?? 0)
    },
  }
}

const later = (ms: number): Promise<void> => sleep(ms, false)
