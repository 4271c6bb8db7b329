import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { TextVector } from '../../contracts/semantic.ts'
import { quantised } from './quantise.ts'
import { WordPiece } from './wordpiece.ts'

/** What the thread is started with. */
export interface MiniLmFiles {
  /** ONNX of scripts/cache-model/minilm_onnx.py. */
  readonly model: string
  /** vocab.txt beside the weights. */
  readonly vocabulary: string
  /** What is imported as onnxruntime-node. */
  readonly runtime: string
}
export interface MiniLmQuestion {
  readonly id: number
  readonly text: string
}
/** id 0: the thread is ready. */
export interface MiniLmAnswer {
  readonly id: number
  readonly vector: TextVector | null
}

/** The parts of onnxruntime-node in use; the package is the operator's to install, so its types are not at hand. */
interface Tensor {
  readonly data: Float32Array
}
interface Session {
  run(feeds: Record<string, Tensor>): Promise<Record<string, Tensor>>
}
interface Runtime {
  readonly InferenceSession: { create(path: string, options: object): Promise<Session> }
  readonly Tensor: new (type: 'int64', data: BigInt64Array, shape: number[]) => Tensor
}

/** Positions that the model was made with are 512, but it was trained on 128 (its model card). */
const MOST_PIECES = 128

async function start(files: MiniLmFiles): Promise<(text: string) => Promise<TextVector | null>> {
  const runtime = (await import(files.runtime)) as Runtime
  const vocabulary = readFileSync(files.vocabulary, 'utf8')
    .split('\n')
    .map((piece) => piece.replace(/\r$/, ''))
  const row = (piece: string): number => {
    const at = vocabulary.indexOf(piece)
    if (at < 0) throw new Error(`MiniLM: no ${piece} in the vocabulary`)
    return at
  }
  const [begin, end] = [row('[CLS]'), row('[SEP]')]
  const pieces = new WordPiece(vocabulary, row('[UNK]'))
  const session = await runtime.InferenceSession.create(files.model, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  return async (text) => {
    pieces.tokenize(text)
    const { characters, known } = pieces
    const ids = [begin, ...pieces.pieces.subarray(0, Math.min(pieces.count, MOST_PIECES - 2)), end]
    const shape = [1, ids.length]
    const { embedding } = await session.run({
      input_ids: new runtime.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new runtime.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    })
    if (embedding === undefined) throw new Error('MiniLM: the graph has no output called embedding')
    return quantised(embedding.data, characters === 0 ? 0 : known / characters)
  }
}

if (parentPort !== null) {
  const port = parentPort
  const embed = await start(workerData as MiniLmFiles)
  let last = Promise.resolve()
  port.on('message', ({ id, text }: MiniLmQuestion) => {
    // one after the other: the tokenizer leaves its answer in place, and the thread has one core to give
    last = last.then(async () => {
      port.postMessage({ id, vector: await embed(text).catch(() => null) } satisfies MiniLmAnswer)
    })
  })
  port.postMessage({ id: 0, vector: null } satisfies MiniLmAnswer)
}
