import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { execute } from './main.ts'
import type { Modules } from './main.ts'

const folder = mkdtempSync(join(tmpdir(), 'heddle-usage-'))
afterAll(() => rmSync(folder, { recursive: true }))

const line = (fields: Record<string, unknown>): string =>
  JSON.stringify({ time: '2026-11-20T10:00:00.000Z', model: 'fast', outcome: 'ok', cost_usd: '0', ...fields })

writeFileSync(
  join(folder, 'a.jsonl'),
  [
    line({ tenant: 'acme', cost_usd: '0.000000001', input_tokens: 10, output_tokens: 1 }),
    line({ tenant: 'acme', cost_usd: '9007199.254740993', input_tokens: 5, labels: { team: 'x' } }),
    line({ tenant: 'beta', cost_usd: '0.5', outcome: 'upstream_timeout', estimated: true }),
    '',
    'no json',
    '{"time":"2026-11-20T10:00:00.000Z","cost_usd":"1.2.3"}',
    // Torn: the process died while it wrote.
    line({ tenant: 'acme' }).slice(0, 30),
  ].join('\n'),
)
writeFileSync(
  join(folder, 'b.jsonl.gz'),
  gzipSync(
    `${line({
      tenant: '=1+1',
      time: '2026-10-01T00:00:00.000Z',
      model: 'slow',
      provider: 'b',
      target: 'b/m',
      cost_usd: '0.000000007',
      attempts: [
        { target: 'a/m', result: 'timeout', cost_usd: '0.000000002', input_tokens: 3 },
        { target: 'b/m', result: 'ok', cost_usd: '0.000000005', priced: false },
      ],
    })}\n`,
  ),
)

const run = async (...argv: string[]) => {
  let out = ''
  let err = ''
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    env: {},
    cwd: folder,
    exists: () => false,
    read: () => '',
  }
  const code = await execute(['usage', ...argv], io, {} as Modules)
  return { code, out, err }
}

const rows = async (...argv: string[]) => JSON.parse((await run('--format', 'json', ...argv)).out) as Report
interface Report {
  readonly groups: readonly Record<string, unknown>[]
  readonly total: Record<string, unknown>
  readonly skipped_lines: number
}

describe('heddle usage', () => {
  test('sums exactly, beyond what a double holds; the dearest first; a total', async () => {
    const { code, out, err } = await run('--by', 'tenant', 'a.jsonl')
    expect(code).toBe(0)
    const table = out.split('\n').map((row) => row.split(/ +/))
    expect(table.slice(0, 4)).toEqual([
      'tenant requests errors input_tokens output_tokens cached_tokens cost_usd estimated unpriced'.split(' '),
      'acme 2 0 15 1 0 9007199.254740994 0 0'.split(' '),
      'beta 1 1 0 0 0 0.500000000 1 0'.split(' '),
      'total 3 1 15 1 0 9007199.754740994 1 0'.split(' '),
    ])
    expect(err).toContain('3 lines left out')
  })

  test('several files, packed ones too; by several names, labels and periods', async () => {
    const report = await rows('--by', 'month,label:team', 'a.jsonl', 'b.jsonl.gz')
    expect(report.groups.map((group) => [group['month'], group['label:team'], group['requests']])).toEqual([
      ['2026-11', 'x', 1],
      ['2026-11', '', 2],
      ['2026-10', '', 1],
    ])
    expect(report).toMatchObject({ total: { requests: 4 }, skipped_lines: 3 })
  })

  test('by provider each attempt counts where it cost, the request where it was answered', async () => {
    const { groups, total } = await rows('--by', 'provider', 'b.jsonl.gz')
    expect(groups).toEqual([
      expect.objectContaining({ provider: 'b', requests: 1, cost_usd: '0.000000005', unpriced: 1 }),
      expect.objectContaining({ provider: 'a', requests: 0, cost_usd: '0.000000002', input_tokens: 3 }),
    ])
    expect(total).toMatchObject({ requests: 1, cost_usd: '0.000000007' })
    const only = await rows('--where', 'provider=a', 'b.jsonl.gz')
    expect(only.total).toMatchObject({ cost_usd: '0.000000002' })
  })

  test('from and until, and only some', async () => {
    const count = async (...argv: string[]) => (await rows(...argv, 'a.jsonl', 'b.jsonl.gz')).total['requests']
    expect(await count('--since', '2026-11-01')).toBe(3)
    expect(await count('--until', '2026-11-01')).toBe(1)
    expect(await count('--until', '2026-10-01')).toBe(0)
    expect(await count('--since', '2026-10-01T00:00')).toBe(4)
    expect(await count('--where', 'tenant=acme,model=fast')).toBe(2)
    expect(await count('--where', 'tenant=acme,model=slow')).toBe(0)
  })

  test('CSV: quoted, and no formulas', async () => {
    const { out } = await run('--by', 'tenant', '--format', 'csv', 'b.jsonl.gz')
    expect(out.split('\r\n')[1]).toBe("'=1+1,1,0,0,0,0,0.000000007,0,0")
  })

  test('a line without end does not fill the memory, and what follows it is read', async () => {
    writeFileSync(join(folder, 'long.jsonl'), `${'x'.repeat(3 << 20)}\n${line({ cost_usd: '1' })}\n`)
    expect(await rows('long.jsonl')).toMatchObject({ total: { requests: 1 }, skipped_lines: 1 })
  })

  test.each([
    [['--by', 'colour', 'a.jsonl'], 2, 'nothing to group'],
    [['--since', 'yesterday', 'a.jsonl'], 2, '--since'],
    [['--where', 'tenant', 'a.jsonl'], 2, 'tenant=acme'],
    [['--format', 'xml', 'a.jsonl'], 2, '--format'],
    [[], 2, 'name the files'],
    [['missing.jsonl'], 1, 'ENOENT'],
  ])('%j is refused', async (argv, code, message) => {
    const result = await run(...argv)
    expect(result.code).toBe(code)
    expect(result.err).toContain(message)
    expect(result.out).toBe('')
  })
})
