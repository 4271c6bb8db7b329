import { expect, test } from 'vitest'
import { startMiniLm } from './minilm.ts'

test('without the runtime it says what to install', async () => {
  const files = { model: '/none.onnx', vocabulary: '/vocab.txt', deadlineMs: 50 }
  await expect(startMiniLm(files)).rejects.toThrow('npm install onnxruntime-node')
})
