import { expect, test } from 'vitest'
import { PRESETS } from '../providers/index.ts'
import { loadConfigText, maskedConfig } from './index.ts'

const yaml = (key: string): string => `
providers:
  chain:
    type: pipeline
    steps:
      - name: clean
        url: https://cleaner.example/clean?code=${key}
        headers: { x-functions-key: ${key} }
        request: { text: "{{user}}", auth: { token: ${key}, user: "{{model}}" } }
  tf:
    type: tensorflow_serving
    base_url: http://tf:8501
    mapping: { inputs: { text: "{{prompt}}", api_key: ${key}, mode: fast }, outputs: { text: output } }
`

test('keys of steps show neither in a dump nor in the hash', () => {
  const load = (key: string) => loadConfigText(yaml(key), { presets: PRESETS, env: {} }).config
  const text = JSON.stringify(maskedConfig(load('s3cr3t-1')))
  expect(text).not.toContain('s3cr3t')
  for (const shown of ['x-functions-key', '{{user}}', '{{model}}', '"fast"']) expect(text).toContain(shown)
  expect(load('s3cr3t-1').hash).toBe(load('s3cr3t-2').hash)
})
