import type { UsageConfig } from '../contracts/config-usage.ts'
import type { Build } from './build.ts'

export const toUsage = (_build: Build): UsageConfig => ({
  overrides: [],
  known: {},
  unknownPrice: 'flag',
  assumedPrice: { input: 5, output: 25 },
  costHeader: true,
  records: { file: null, otlp: null, redis: null },
})
