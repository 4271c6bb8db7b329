const SMALLEST = 16

/** Elements that a table gets which has `length` and needs `need`: an eighth more than before, so growth stays cheap and tight. */
export function grownLength(length: number, need: number): number {
  return need <= length ? length : Math.max(SMALLEST, need, length + (length >> 3))
}

export function growUint32(table: Uint32Array<ArrayBuffer>, need: number): Uint32Array<ArrayBuffer> {
  if (need <= table.length) return table
  const grown = new Uint32Array(grownLength(table.length, need))
  grown.set(table)
  return grown
}

export function growInt32(table: Int32Array<ArrayBuffer>, need: number): Int32Array<ArrayBuffer> {
  if (need <= table.length) return table
  const grown = new Int32Array(grownLength(table.length, need))
  grown.set(table)
  return grown
}
