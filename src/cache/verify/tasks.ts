/**
 * Words that say what is to be done with the rest of a text; words of one line do the same. Who asks for a poem about a thing is not
 * served what the thing is, and who quotes a question asks another one.
 */
const LINES: readonly string[] = [
  'translate translation translated 翻译 译成',
  'summarise summarize summary summarised summarized tldr 总结 概括 摘要',
  'poem poems haiku rhyme rhymes limerick sonnet lyrics 诗 诗歌 写诗',
  'essay essays 作文',
  'rewrite rephrase paraphrase reword 改写 润色',
  'proofread grammar 校对 语法',
  'sentence sentences syllable syllables vowels consonants 句子 音节',
  'ignore disregard forget 忽略 无视',
  'pretend roleplay impersonate 假装 扮演',
  'avoid avoiding evade evading 避免 逃避',
  'fake forged forge falsify falsified 伪造 假冒',
]

const KINDS: ReadonlyMap<string, number> = new Map(
  LINES.flatMap((line, at) => line.split(' ').map((word) => [word, 1 << at] as const)),
)

/** Kinds of tasks that the words name, as bits. */
export function tasksIn(words: readonly string[]): number {
  let found = 0
  for (const word of words) found |= KINDS.get(word) ?? 0
  return found
}
