import type { SvidConfig } from '../contracts/config-svid.ts'
import type { Build } from './build.ts'

export const toSvid = (_build: Build): SvidConfig | null => null
