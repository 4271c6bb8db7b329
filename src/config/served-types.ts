import type { ProviderPreset } from '../contracts/config.ts'
import type { MappedDialect } from '../contracts/config-mapping.ts'

const served = (name: string, title: string, wire: MappedDialect, notes: string): ProviderPreset => ({
  name,
  title,
  keyEnv: [],
  keyRequired: false,
  urlEnv: null,
  basePath: '',
  baseUrl: null,
  auth: 'bearer',
  query: {},
  operations: [],
  wire,
  modelPatterns: [],
  streamUsage: false,
  streamEnd: 'done',
  notes,
})

/** Types that know tensors and texts, and of chats only what the configuration says: no environment turns them on. */
export const SERVED: readonly ProviderPreset[] = [
  served(
    'tensorflow_serving',
    'TensorFlow Serving',
    'tensorflow.predict',
    'Needs `mapping`, and `base_url: grpc://HOST:8500` or `http://HOST:8501`.',
  ),
  served(
    'kserve',
    'KServe, Open Inference Protocol v2',
    'kserve.infer',
    'Needs `mapping`, and `base_url: grpc://HOST:8001` or `http://HOST:8000`.',
  ),
  served('triton', 'NVIDIA Triton, generate', 'triton.generate', 'Needs `base_url: http://HOST:8000`.'),
  served('torchserve', 'TorchServe', 'torchserve.predict', 'Needs `mapping`, and `base_url: http://HOST:8080`.'),
  {
    ...served('pipeline', 'Services in a row', 'pipeline', 'Needs `steps`, and no `base_url`.'),
    // Only a name, of the cluster: what is called is its steps, and each says for itself what it may be told.
    baseUrl: 'http://pipeline',
  },
]
