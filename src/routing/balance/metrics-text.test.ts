import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readSamples, signalsOfMetrics } from './metrics-text.ts'

const VLLM = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 1.7e+09
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters="c"} 1.8e+09
vllm:e2e_request_latency_seconds_bucket{le="+Inf"} 7
`

describe('metrics of engines', () => {
  test('vLLM: several engines in one, the newest adapters, the size of the cache', () => {
    expect(signalsOfMetrics(VLLM, 'auto')).toEqual({
      running: 5,
      queue: 4,
      kv: 0.5,
      kvTokens: 16_000,
      loraMax: 4,
      loras: ['a', 'b', 'c'],
    })
    expect(signalsOfMetrics(VLLM, 'sglang')).toBeNull()
  })

  test.each([
    ['sglang', 'sglang:num_queue_reqs 2\nsglang:num_running_reqs{a="b"} 7 1700000000\nsglang:token_usage 0.9\n'],
    [
      'triton',
      'nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 2\nnv_trt_llm_request_metrics{request_type="scheduled"} 7\nnv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"} 0.9\nnv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"} 500',
    ],
  ] as const)('%s', (engine, text) => {
    for (const by of [engine, 'auto'] as const)
      expect(signalsOfMetrics(text, by)).toEqual({ queue: 2, running: 7, kv: 0.9 })
  })

  test('TGI tells no cache', () => {
    expect(signalsOfMetrics('tgi_queue_size 1\r\ntgi_batch_current_size 8\r\n', 'tgi')).toEqual({
      queue: 1,
      running: 8,
    })
  })

  test('labels with quotes, braces and line breaks in them', () => {
    const samples: unknown[] = []
    const text = 'a{x="}\\"\\n\\\\",y=""} 1\na 2\nab 3\na{x="1} 4\na{x=1} 5\na{} +Inf\na x\n'
    readSamples(text, new Set(['a']), (name, labels, value) => samples.push([name, { ...labels }, value]))
    expect(samples).toEqual([
      ['a', { x: '}"\n\\', y: '' }, 1],
      ['a', {}, 2],
      ['a', {}, Infinity],
    ])
  })

  test('what was written is read', () => {
    const escape = (text: string): string =>
      text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[a-zA-Z_]\w{0,8}$/), fc.string()),
        fc.double({ noNaN: true }),
        (labels, value) => {
          const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escape(text)}"`)
          let read: unknown = null
          readSamples(`m{${pairs.join(',')}} ${value}`, new Set(['m']), (_name, found, number) => {
            read = [Object.entries(found), number]
          })
          expect(read).toEqual([Object.entries(labels), Object.is(value, -0) ? Number(String(value)) : value])
        },
      ),
    )
  })

  test('whatever stands there, nothing is thrown', () => {
    const line = fc.tuple(fc.constantFrom('vllm:num_requests_waiting', 'vllm:lora_requests_info', 'x'), fc.string())
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        signalsOfMetrics(lines.map(([name, rest]) => name + rest).join('\n'), 'auto')
      }),
      { numRuns: 500 },
    )
  })
})
