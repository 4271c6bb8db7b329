import type { Material, SvidFault } from './material.ts'

/** What a source tells its keeper. */
export interface SourceHooks {
  /** Throws SvidFault when it cannot be used; the source then says so by fault(). */
  offer(material: Material): void
  /** There was nothing usable. Logged and counted by the keeper. */
  fault(fault: SvidFault): void
}

/** Begins to follow a source until the returned function is called. */
export type StartSource = (hooks: SourceHooks) => () => void
