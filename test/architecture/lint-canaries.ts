/** One file that breaks one lint rule, or (rule null) breaks none. */
export interface Canary {
  readonly path: string
  readonly code: string
  /** As the linter names it in its `code` field. */
  readonly rule: string | null
}

const canary = (path: string, rule: string | null, code: string): Canary => ({ path, rule, code })

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n')

const branches = lines(21, (index) => `  if (n === ${index}) return ${index + 1}`)

export const CANARIES: readonly Canary[] = [
  canary('src/auth/any.ts', 'typescript(no-explicit-any)', `export const f = (x: any): number => (x === 1 ? 1 : 2)`),
  canary(
    'src/auth/floating.ts',
    'typescript(no-floating-promises)',
    `export const f = (p: Promise<number>) => {\n  p\n}`,
  ),
  canary(
    'src/auth/misused.ts',
    'typescript(no-misused-promises)',
    `export const f = (p: () => Promise<boolean>): number => (p() ? 1 : 2)`,
  ),
  canary('src/auth/thrown.ts', 'typescript(only-throw-error)', `export const f = () => {\n  throw 'x'\n}`),
  canary('src/auth/default-export.ts', 'import(no-default-export)', `export default 1`),
  canary('src/auth/cycle-a.ts', 'import(no-cycle)', `import { b } from './cycle-b.ts'\nexport const a = () => b`),
  canary('src/auth/cycle-b.ts', 'import(no-cycle)', `import { a } from './cycle-a.ts'\nexport const b = () => a`),
  canary(
    'src/auth/long-file.ts',
    'eslint(max-lines)',
    lines(401, (index) => `export const x${index} = ${index}`),
  ),
  canary(
    'src/auth/long-function.ts',
    'eslint(max-lines-per-function)',
    `export const f = (out: number[]) => {\n${lines(85, (index) => `  out.push(${index})`)}\n}`,
  ),
  canary(
    'src/auth/complex.ts',
    'eslint(complexity)',
    `export const f = (n: number): number => {\n${branches}\n  return 0\n}`,
  ),
  canary('src/auth/console.ts', 'eslint(no-console)', `export const f = () => console.log('x')`),
  canary('src/auth/loose.ts', 'eslint(eqeqeq)', `export const f = (a: unknown, b: unknown) => a == b`),
  canary('src/auth/BadName.ts', 'unicorn(filename-case)', `export const a = 1`),
  canary(
    'src/auth/bare-builtin.ts',
    'unicorn(prefer-node-protocol)',
    `import { join } from 'path'\nexport const a = join`,
  ),
  canary('src/auth/fetches.ts', 'eslint(no-restricted-globals)', `export const f = () => fetch('http://localhost')`),
  canary('src/cli/fetches.ts', 'eslint(no-restricted-globals)', `export const f = () => fetch('http://localhost')`),
  canary('src/http/web-stream.ts', 'eslint(no-restricted-globals)', `export const s = () => new ReadableStream()`),
  canary('src/http/web-transform.ts', 'eslint(no-restricted-globals)', `export const s = () => new TransformStream()`),
  canary(
    'src/http/web-import.ts',
    'eslint(no-restricted-imports)',
    `import { ReadableStream as R } from 'node:stream/web'\nexport const s = () => new R()`,
  ),
  canary('src/auth/wall-clock.ts', 'eslint(no-restricted-properties)', `export const f = () => Date.now()`),
  canary('src/auth/monotonic.ts', 'eslint(no-restricted-properties)', `export const f = () => performance.now()`),
  canary('src/auth/chance.ts', 'eslint(no-restricted-properties)', `export const f = () => Math.random()`),
  canary('src/auth/timeout.ts', 'eslint(no-restricted-globals)', `export const f = () => setTimeout(() => {}, 1)`),
  canary('src/auth/interval.ts', 'eslint(no-restricted-globals)', `export const f = () => setInterval(() => {}, 1)`),
  canary(
    'src/auth/hidden-timeout.ts',
    'eslint(no-restricted-properties)',
    `export const f = () => globalThis.setTimeout(() => {}, 1)`,
  ),
  canary(
    'src/auth/imported-timeout.ts',
    'eslint(no-restricted-imports)',
    `import { setTimeout as wait } from 'node:timers/promises'\nexport const f = () => wait(1)`,
  ),
  canary(
    'src/auth/focused.test.ts',
    'vitest(no-focused-tests)',
    `import { expect, test } from 'vitest'\ntest.only('x', () => {\n  expect(1).toBe(1)\n})`,
  ),
  canary(
    'src/auth/skipped.test.ts',
    'vitest(no-disabled-tests)',
    `import { expect, test } from 'vitest'\ntest.skip('x', () => {\n  expect(1).toBe(1)\n})`,
  ),
  canary('src/auth/empty.test.ts', 'vitest(expect-expect)', `import { test } from 'vitest'\ntest('x', () => {})`),

  canary('src/core/clock.ts', null, `export const now = (): number => Date.now()`),
  canary('src/sim/pace.ts', null, `export const later = (f: () => void) => setTimeout(f, 1)`),
  canary('src/cli/says.ts', null, `export const say = () => console.log('x')`),
  canary(
    'src/auth/wall-clock.test.ts',
    null,
    `import { expect, test } from 'vitest'\ntest('x', () => {\n  expect(Date.now()).toBeGreaterThan(1)\n})`,
  ),
  canary(
    'src/auth/clean.ts',
    null,
    `import { now } from '../core/clock.ts'\n\nexport const age = (since: number): number => now() - since`,
  ),
]
