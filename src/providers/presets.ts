/**
 * Providers that are known by name. Data only: one row each, read by src/config through the loader's options.
 * Order decides when a model name fits patterns of two rows: the first configured one wins.
 * `streamUsage: false` where the API refuses `stream_options`. Looked up in documentation: Mistral, Cohere, Gemini,
 * Perplexity, partly Cerebras; the other rows are general knowledge, and none has been called live.
 */
import type { Operation, ProviderPreset } from '../contracts/config.ts'
import type { Dialect } from '../contracts/dialect.ts'

const CHAT: readonly Operation[] = ['chat', 'passthrough']
const CHAT_EMBED: readonly Operation[] = ['chat', 'embeddings', 'passthrough']
const CLASSIC: readonly Operation[] = ['chat', 'completions', 'embeddings', 'passthrough']
const ALL: readonly Operation[] = ['chat', 'completions', 'embeddings', 'responses', 'passthrough']

type Row = Pick<ProviderPreset, 'name' | 'title' | 'baseUrl'> & Partial<ProviderPreset>

const hosted = (row: Row & { readonly keyEnv: readonly string[] }): ProviderPreset => ({
  keyRequired: true,
  urlEnv: null,
  basePath: '/v1',
  auth: 'bearer',
  query: {},
  operations: CHAT,
  modelPatterns: [],
  streamUsage: true,
  streamEnd: 'done',
  notes: '',
  ...row,
})

const local = (row: Row & { readonly urlEnv: string }): ProviderPreset =>
  hosted({ keyEnv: [], operations: CLASSIC, keyRequired: false, ...row })

/** One that knows tensors and texts, and of chats only what a mapping says. */
const modelServer = (
  name: string,
  title: string,
  wire: Dialect,
  { notes, baseUrl = null }: { readonly notes: string; readonly baseUrl?: string | null },
): ProviderPreset =>
  hosted({ name, title, keyEnv: [], keyRequired: false, baseUrl, basePath: '', operations: [], wire, notes })

export const PRESETS: readonly ProviderPreset[] = [
  hosted({
    name: 'openai',
    title: 'OpenAI',
    keyEnv: ['OPENAI_API_KEY'],
    urlEnv: 'OPENAI_BASE_URL',
    baseUrl: 'https://api.openai.com/v1',
    operations: ALL,
    modelPatterns: ['gpt-*', 'chatgpt-*', 'o1*', 'o3*', 'o4*', 'text-embedding-*', 'codex-*'],
  }),
  hosted({
    name: 'anthropic',
    title: 'Anthropic',
    keyEnv: ['ANTHROPIC_API_KEY'],
    baseUrl: 'https://api.anthropic.com/v1',
    auth: 'x-api-key',
    operations: ['messages', 'passthrough'],
    wire: 'anthropic.messages',
    modelPatterns: ['claude-*'],
  }),
  hosted({
    name: 'gemini',
    title: 'Google Gemini',
    keyEnv: ['GEMINI_API_KEY', 'GOOGLE_API_KEY'],
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta',
    auth: 'x-goog-api-key',
    operations: ['generate_content', 'embeddings', 'passthrough'],
    wire: 'gemini.generate',
    paths: { embeddings: '/openai/embeddings' },
    modelPatterns: ['gemini-*', 'gemma-*'],
    notes: 'Embeddings go to Google’s OpenAI-compatible endpoint.',
  }),
  hosted({
    name: 'vertex',
    title: 'Google Vertex AI',
    keyEnv: [],
    keyRequired: false,
    urlEnv: 'GOOGLE_VERTEX_BASE_URL',
    baseUrl: null,
    operations: ['generate_content', 'passthrough'],
    wire: 'gemini.generate',
    notes:
      '`base_url: https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION/publishers/google`, with `credentials: { google: {} }`.',
  }),
  hosted({
    name: 'bedrock',
    title: 'Amazon Bedrock',
    keyEnv: ['AWS_BEARER_TOKEN_BEDROCK'],
    keyRequired: false,
    urlEnv: 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME',
    basePath: '',
    baseUrl: null,
    operations: ['passthrough'],
    wire: 'bedrock.converse',
    notes:
      '`base_url: https://bedrock-runtime.REGION.amazonaws.com`, with `credentials: { aws: {} }` or an API key. Model ids and inference profiles as Bedrock names them.',
  }),
  hosted({
    name: 'mistral',
    title: 'Mistral AI',
    keyEnv: ['MISTRAL_API_KEY'],
    baseUrl: 'https://api.mistral.ai/v1',
    operations: CHAT_EMBED,
    modelPatterns: [
      'mistral-*',
      'ministral-*',
      'magistral-*',
      'codestral-*',
      'devstral-*',
      'pixtral-*',
      'voxtral-*',
      'open-mistral-*',
    ],
    streamUsage: false,
    notes: 'Refuses unknown fields with 422, `stream_options` among them; usage comes in the last chunk anyway.',
  }),
  hosted({
    name: 'groq',
    title: 'Groq',
    keyEnv: ['GROQ_API_KEY'],
    baseUrl: 'https://api.groq.com/openai/v1',
    notes: 'Model names hold a slash: write `groq/openai/gpt-oss-120b`.',
  }),
  hosted({
    name: 'deepseek',
    title: 'DeepSeek',
    keyEnv: ['DEEPSEEK_API_KEY'],
    baseUrl: 'https://api.deepseek.com/v1',
    modelPatterns: ['deepseek-*'],
  }),
  hosted({
    name: 'xai',
    title: 'xAI',
    keyEnv: ['XAI_API_KEY'],
    baseUrl: 'https://api.x.ai/v1',
    operations: ['chat', 'responses', 'passthrough'],
    modelPatterns: ['grok-*'],
  }),
  hosted({
    name: 'cohere',
    title: 'Cohere',
    keyEnv: ['COHERE_API_KEY', 'CO_API_KEY'],
    baseUrl: 'https://api.cohere.ai/compatibility/v1',
    operations: CHAT_EMBED,
    modelPatterns: ['command-*', 'embed-*', 'c4ai-*', 'rerank-*'],
    streamUsage: false,
    notes: 'Uses Cohere’s compatibility endpoint, which refuses `stream_options`.',
  }),
  hosted({
    name: 'perplexity',
    title: 'Perplexity',
    keyEnv: ['PERPLEXITY_API_KEY'],
    baseUrl: 'https://api.perplexity.ai/v1',
    operations: ['responses', 'passthrough'],
    notes:
      'Responses API only: its chat completions ended on 2026-09-27. Models are named `perplexity/perplexity/sonar`.',
  }),
  hosted({
    name: 'moonshot',
    title: 'Moonshot AI',
    keyEnv: ['MOONSHOT_API_KEY'],
    baseUrl: 'https://api.moonshot.ai/v1',
    modelPatterns: ['kimi-*', 'moonshot-*'],
    notes: 'In China set `base_url: https://api.moonshot.cn/v1`.',
  }),
  hosted({
    name: 'zhipu',
    title: 'Zhipu AI (Z.ai)',
    keyEnv: ['ZAI_API_KEY', 'ZHIPUAI_API_KEY'],
    baseUrl: 'https://api.z.ai/api/paas/v4',
    modelPatterns: ['glm-*'],
    notes: 'In China set `base_url: https://open.bigmodel.cn/api/paas/v4`.',
  }),
  hosted({
    name: 'qwen',
    title: 'Alibaba Model Studio (DashScope)',
    keyEnv: ['DASHSCOPE_API_KEY'],
    urlEnv: 'DASHSCOPE_BASE_URL',
    baseUrl: 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1',
    basePath: '/compatible-mode/v1',
    operations: CHAT_EMBED,
    modelPatterns: ['qwen*', 'qwq-*', 'qvq-*'],
    notes: 'In China set `base_url: https://dashscope.aliyuncs.com/compatible-mode/v1`.',
  }),
  hosted({
    name: 'minimax',
    title: 'MiniMax',
    keyEnv: ['MINIMAX_API_KEY'],
    baseUrl: 'https://api.minimax.io/v1',
    modelPatterns: ['MiniMax-*'],
  }),
  hosted({
    name: 'ai21',
    title: 'AI21',
    keyEnv: ['AI21_API_KEY'],
    baseUrl: 'https://api.ai21.com/studio/v1',
    modelPatterns: ['jamba-*'],
    streamUsage: false,
    notes: 'Sends usage in the last chunk without being asked.',
  }),
  hosted({
    name: 'cerebras',
    title: 'Cerebras',
    keyEnv: ['CEREBRAS_API_KEY'],
    baseUrl: 'https://api.cerebras.ai/v1',
    operations: ['chat', 'completions', 'passthrough'],
  }),
  hosted({
    name: 'sambanova',
    title: 'SambaNova',
    keyEnv: ['SAMBANOVA_API_KEY'],
    baseUrl: 'https://api.sambanova.ai/v1',
    operations: CHAT_EMBED,
  }),
  hosted({
    name: 'nvidia',
    title: 'NVIDIA NIM',
    keyEnv: ['NVIDIA_API_KEY'],
    baseUrl: 'https://integrate.api.nvidia.com/v1',
    operations: CHAT_EMBED,
    notes: 'For a NIM of your own set `base_url`.',
  }),
  hosted({
    name: 'together',
    title: 'Together AI',
    keyEnv: ['TOGETHER_API_KEY'],
    baseUrl: 'https://api.together.xyz/v1',
    operations: CLASSIC,
  }),
  hosted({
    name: 'fireworks',
    title: 'Fireworks AI',
    keyEnv: ['FIREWORKS_API_KEY'],
    baseUrl: 'https://api.fireworks.ai/inference/v1',
    operations: CLASSIC,
    modelPatterns: ['accounts/fireworks/models/*'],
  }),
  hosted({
    name: 'deepinfra',
    title: 'DeepInfra',
    keyEnv: ['DEEPINFRA_API_KEY', 'DEEPINFRA_TOKEN'],
    baseUrl: 'https://api.deepinfra.com/v1/openai',
    operations: CLASSIC,
  }),
  hosted({
    name: 'huggingface',
    title: 'Hugging Face Inference Providers',
    keyEnv: ['HF_TOKEN'],
    baseUrl: 'https://router.huggingface.co/v1',
  }),
  hosted({
    name: 'openrouter',
    title: 'OpenRouter',
    keyEnv: ['OPENROUTER_API_KEY'],
    baseUrl: 'https://openrouter.ai/api/v1',
    operations: ['chat', 'completions', 'passthrough'],
    notes: 'Model names hold a slash: write `openrouter/anthropic/claude-sonnet-5`.',
  }),
  hosted({
    name: 'vercel',
    title: 'Vercel AI Gateway',
    keyEnv: ['AI_GATEWAY_API_KEY'],
    baseUrl: 'https://ai-gateway.vercel.sh/v1',
    operations: CHAT_EMBED,
  }),
  hosted({
    name: 'azure',
    title: 'Azure OpenAI',
    keyEnv: ['AZURE_OPENAI_API_KEY', 'AZURE_API_KEY'],
    urlEnv: 'AZURE_OPENAI_ENDPOINT',
    baseUrl: null,
    basePath: '/openai/v1',
    auth: 'api-key',
    operations: ALL,
    notes: 'The v1 API, `https://RESOURCE.openai.azure.com/openai/v1`; a target’s `model` is the deployment’s name.',
  }),
  hosted({
    name: 'jina',
    title: 'Jina AI',
    keyEnv: ['JINA_API_KEY'],
    baseUrl: 'https://api.jina.ai/v1',
    operations: ['embeddings', 'rerank', 'passthrough'],
    modelPatterns: ['jina-*'],
  }),
  hosted({
    name: 'voyage',
    title: 'Voyage AI',
    keyEnv: ['VOYAGE_API_KEY'],
    baseUrl: 'https://api.voyageai.com/v1',
    operations: ['embeddings', 'rerank', 'passthrough'],
    modelPatterns: ['voyage-*'],
  }),
  local({
    name: 'tei',
    title: 'Text Embeddings Inference',
    urlEnv: 'TEI_BASE_URL',
    baseUrl: null,
    operations: ['embeddings', 'rerank', 'passthrough'],
    notes: 'One server has one model: its name does not matter.',
  }),
  local({
    name: 'ollama',
    title: 'Ollama',
    urlEnv: 'OLLAMA_HOST',
    baseUrl: 'http://127.0.0.1:11434/v1',
  }),
  local({
    name: 'vllm',
    title: 'vLLM',
    keyEnv: ['VLLM_API_KEY'],
    urlEnv: 'VLLM_BASE_URL',
    baseUrl: 'http://127.0.0.1:8000/v1',
    operations: ALL,
  }),
  local({
    name: 'sglang',
    title: 'SGLang',
    urlEnv: 'SGLANG_BASE_URL',
    baseUrl: 'http://127.0.0.1:30000/v1',
  }),
  local({
    name: 'llamacpp',
    title: 'llama.cpp server',
    urlEnv: 'LLAMACPP_BASE_URL',
    baseUrl: 'http://127.0.0.1:8080/v1',
    notes: 'Its default port is also Heddle’s: move one of them.',
  }),
  local({
    name: 'lmstudio',
    title: 'LM Studio',
    urlEnv: 'LMSTUDIO_BASE_URL',
    baseUrl: 'http://127.0.0.1:1234/v1',
  }),
  modelServer('tensorflow_serving', 'TensorFlow Serving', 'tensorflow.predict', {
    notes: '`base_url: grpc://HOST:8500` (or `http://HOST:8501`), and `mapping`: see the guide on model servers.',
  }),
  modelServer('kserve', 'KServe, Open Inference Protocol v2', 'kserve.infer', {
    notes: '`base_url: grpc://HOST:8001` (or `http://HOST:8000`), and `mapping`: see the guide on model servers.',
  }),
  modelServer('triton', 'NVIDIA Triton, generate', 'triton.generate', {
    notes: '`base_url: http://HOST:8000`; `mapping` where the model’s inputs are not those of the vLLM backend.',
  }),
  modelServer('torchserve', 'TorchServe', 'torchserve.predict', {
    notes: '`base_url: http://HOST:8080`, and `mapping`: see the guide on model servers.',
  }),
  modelServer('pipeline', 'Services in a row', 'pipeline', {
    // Only a name: what is called is its steps.
    baseUrl: 'http://pipeline.internal',
    notes: 'Needs `steps`, and no `base_url`.',
  }),
]
