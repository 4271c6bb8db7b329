import type { RemotePicker } from '../contracts/cluster.ts'
import type { EppConfig } from '../contracts/config-cluster.ts'
export const createEppClient = (_config: EppConfig): RemotePicker => { throw new Error('unused') }
