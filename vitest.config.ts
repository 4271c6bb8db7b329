import { defineConfig } from 'vitest/config'

const project = (name: string, include: string[], testTimeout: number, maxWorkers = 2) => ({
  test: {
    name,
    include,
    environment: 'node' as const,
    pool: 'forks' as const,
    maxWorkers,
    testTimeout,
    hookTimeout: testTimeout,
    // Tests that freeze and kill processes meet a machine that others use: what fails twice has failed.
    retry: name === 'integration' || name === 'mesh' ? 1 : 0,
    // Projects run after one another: e2e tests start whole processes and must not share the cores with unit tests.
    sequence: { groupOrder: ['unit', 'architecture', 'integration', 'mesh', 'e2e'].indexOf(name) },
  },
})

export default defineConfig({
  test: {
    // A test that CI skipped by `.only` is a test that did not run.
    allowOnly: process.env['CI'] === undefined,
    projects: [
      project('unit', ['src/**/*.test.ts', 'bench/**/*.test.ts'], 10_000),
      project('architecture', ['test/architecture/**/*.test.ts'], 60_000),
      project('integration', ['test/integration/**/*.test.ts', 'bench/**/*.integration.ts'], 20_000),
      project('mesh', ['test/mesh/**/*.test.ts'], 60_000, 1),
      project('e2e', ['test/e2e/**/*.e2e.test.ts'], 60_000, 1),
    ],
  },
})
