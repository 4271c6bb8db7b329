/** Boosted trees in flat lists: a node is an inner one (feature >= 0) or a leaf (-1, whose value is `threshold`). */
export interface Trees {
  readonly base: number
  /** First node of each tree. */
  readonly roots: Int32Array
  readonly feature: Int32Array
  readonly threshold: Float64Array
  readonly left: Int32Array
  readonly right: Int32Array
}

/** As in the file: lists of numbers, nodes one after another. */
export interface TreesFile {
  readonly base: number
  readonly roots: readonly number[]
  readonly feature: readonly number[]
  readonly threshold: readonly number[]
  readonly left: readonly number[]
  readonly right: readonly number[]
}

/** Throws if the lists do not fit each other or point outside: a file that is damaged must not be served by. */
export const readTrees = (file: TreesFile, features: number): Trees => {
  const size = file.feature.length
  if ([file.threshold, file.left, file.right].some((list) => list.length !== size))
    throw new Error('lists differ in length')
  for (let i = 0; i < size; i++) {
    const feature = file.feature[i] ?? -1
    if (feature >= features) throw new Error('a node asks for a feature that is not there')
    // Children come after their parent, so that every walk ends.
    const forward = (to: number | undefined): boolean => to !== undefined && to > i && to < size
    if (feature >= 0 && !(forward(file.left[i]) && forward(file.right[i]))) throw new Error('a node has no such child')
  }
  if (file.roots.some((root) => !(root >= 0 && root < size))) throw new Error('a tree has no such root')
  return {
    base: file.base,
    roots: Int32Array.from(file.roots),
    feature: Int32Array.from(file.feature),
    threshold: Float64Array.from(file.threshold),
    left: Int32Array.from(file.left),
    right: Int32Array.from(file.right),
  }
}

/** Sum of the leaves: a log-odds. */
export const evaluate = (trees: Trees, values: Float64Array): number => {
  let sum = trees.base
  for (const root of trees.roots) {
    let node = root
    for (let feature = trees.feature[node] ?? -1; feature >= 0; feature = trees.feature[node] ?? -1) {
      node = (values[feature] ?? 0) <= (trees.threshold[node] ?? 0) ? (trees.left[node] ?? 0) : (trees.right[node] ?? 0)
    }
    sum += trees.threshold[node] ?? 0
  }
  return sum
}
